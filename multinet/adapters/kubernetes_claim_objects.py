"""What is read of pods, ResourceClaims and ResourceSlices, as the API's JSON has it.

Source: Kubernetes API ``v1`` and ``resource.k8s.io/v1``.
"""

from __future__ import annotations

import msgspec

__all__ = ["CLAIM", "POD", "SLICE", "Claim", "Device", "PodObject", "RequestMapping", "Result", "Slice"]


class PodClaim(msgspec.Struct, frozen=True, rename="camel"):
    """A claim of the pod by its name in the pod, and the object behind it."""

    name: str = ""
    resource_claim_name: str | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What the pod asks for."""

    resource_claims: list[PodClaim] | None = None


class RequestMapping(msgspec.Struct, frozen=True, rename="camel"):
    """Which request of the claim stands for which extended resource of the pod."""

    request_name: str = ""
    resource_name: str = ""


class ExtendedClaim(msgspec.Struct, frozen=True, rename="camel"):
    """The claim made for the extended resources that DRA serves, as if a device plugin did."""

    resource_claim_name: str = ""
    request_mappings: list[RequestMapping] | None = None


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The claims made for the pod."""

    resource_claim_statuses: list[PodClaim] | None = None
    extended_resource_claim_status: ExtendedClaim | None = None


class PodMetadata(msgspec.Struct, frozen=True):
    uid: str = ""


class PodObject(msgspec.Struct, frozen=True):
    """A pod."""

    metadata: PodMetadata = PodMetadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def claims(self) -> list[str]:
        """The claims' names: those made for the pod are in its status, in any order, others in its spec."""
        made = {one.name: one.resource_claim_name for one in self.status.resource_claim_statuses or ()}
        asked = {one.name: one.resource_claim_name for one in self.spec.resource_claims or ()}
        names = [asked[name] or made.get(name) for name in asked]
        names += [made[name] for name in made if name not in asked]
        return [name for name in names if name]  # a template may have made none


class Result(msgspec.Struct, frozen=True):
    """A device of an allocation; ``request`` is ``name``, or ``name/alternative``."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""


class Results(msgspec.Struct, frozen=True):
    results: list[Result] | None = None


class Allocation(msgspec.Struct, frozen=True):
    devices: Results = Results()


class ClaimStatus(msgspec.Struct, frozen=True):
    allocation: Allocation | None = None


class Claim(msgspec.Struct, frozen=True):
    """A ResourceClaim."""

    status: ClaimStatus = ClaimStatus()


class Pool(msgspec.Struct, frozen=True):
    name: str = ""
    generation: int = 0


class Attribute(msgspec.Struct, frozen=True):
    string: str | None = None


class Device(msgspec.Struct, frozen=True):
    """A device in a ResourceSlice."""

    name: str = ""
    attributes: dict[str, Attribute] | None = None

    def attribute(self, name: str) -> str:
        """The attribute, if it is a text; else ""."""
        found = (self.attributes or {}).get(name)
        return (found.string if found else None) or ""


class SliceSpec(msgspec.Struct, frozen=True):
    pool: Pool = Pool()
    devices: list[Device] | None = None


class Slice(msgspec.Struct, frozen=True):
    """A ResourceSlice: some devices of one driver's pool, as of one generation of it."""

    spec: SliceSpec = SliceSpec()


POD = msgspec.json.Decoder(PodObject)
CLAIM = msgspec.json.Decoder(Claim)
SLICE = msgspec.json.Decoder(Slice)

"""The de-facto standard of the Network Plumbing Working Group as types: NetworkAttachmentDefinition,
pod annotations, network-status, device information. Pure."""

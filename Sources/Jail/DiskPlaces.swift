internal import LinuxKernel
internal import SandboxModel

/// Directories of the node whose disks sandboxes use, beside images that are directories.
public struct DiskPlaces: Sendable {
    /// Where images are kept that are named by a digest.
    public var images: String?
    /// Where scratch space on the disk is made.
    public var scratch: String?

    public init(images: String? = nil, scratch: String? = nil) {
        self.images = images
        self.scratch = scratch
    }

    /// What is on the disk that a sandbox reads its image from.
    func image(of spec: SandboxSpec) -> String {
        guard let images, spec.image.hasPrefix("sha256:") else { return spec.image }
        return images
    }

    /// Of the directory of its scratch space, where that is on a disk.
    func scratchStatus(of spec: SandboxSpec) -> FileStatus? {
        guard let scratch, spec.scratchPlace == .disk else { return nil }
        return try? Files.status(of: scratch)
    }
}

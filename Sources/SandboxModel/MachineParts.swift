/// What a jail holds besides its root when its workload is the monitor of a microVM: `/dev/kvm`,
/// and the files that become the guest's disks.
public struct MachineParts: Equatable, Sendable {
    /// A file of the host that appears in `/dev`, under another name.
    public struct File: Hashable, Sendable {
        public var name: String
        public var path: String
        public var isWritable: Bool

        public init(_ name: String, at path: String, isWritable: Bool = false) {
            self.name = name
            self.path = path
            self.isWritable = isWritable
        }
    }

    public var files: [File]
    /// Whether the monitor gets a link for its guest, which is made elsewhere and open already.
    public var hasLink: Bool
    /// What runs in the guest, by the word that its user gave.
    public var workload: String

    public init(files: [File] = [], hasLink: Bool = false, workload: String = "") {
        self.files = files
        self.hasLink = hasLink
        self.workload = workload
    }

    /// The number of `/dev/kvm`, the kernel's for all hosts.
    public static let device: (name: String, major: UInt32, minor: UInt32) = ("kvm", 10, 232)
}

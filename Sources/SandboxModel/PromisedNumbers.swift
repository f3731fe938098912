/// The numbers that Alcove promises. They stand here once: the benchmark's check and the
/// documentation read them from this file.
public enum PromisedNumbers {
    /// `alcove run … /bin/true` as a whole command, to bubblewrap with the same policy, at most.
    public static let runToBubblewrap = 0.6

    /// `alcove run … /bin/true` as a whole command, to crun with the same policy, at most.
    public static let runToCrun = 0.15

    /// A sandbox in a resident process, everything new, to the floor in C, at most.
    public static let residentToFloor = 1.2

    /// The same with pooled network namespaces and a prepared filter, to the floor, at most.
    public static let pooledToFloor = 0.75

    /// Sandboxes a second with eight in flight on two processors, at least.
    public static let sandboxesPerSecond = 600

    /// A unary call by Python's client, to the same call of Python's own server, at most.
    public static let callToGrpcio = 0.5

    /// Unary calls a second over a Unix socket, at least.
    public static let callsPerSecond = 40_000

    /// At that load, 99 of 100 calls take at most this long.
    public static let callP99Microseconds = 5000

    /// From Create until the agent says that the workload runs, over its socket, at most.
    public static let agentStartMedianMilliseconds = 2
    public static let agentStartP99Milliseconds = 6

    /// How much longer that takes with a network and a VPC that the node is in, at the median, at
    /// most.
    public static let networkStartExtraMilliseconds = 1

    /// A running sandbox attached to a VPC that the node is in, over the agent's socket, at most.
    public static let networkAttachMedianMilliseconds = 0.4
    public static let networkAttachP99Milliseconds = 2

    /// Lives from Create to Delete with 16 in flight on two processors, at least.
    public static let agentSandboxesPerSecond = 300

    /// What the agent holds of memory with 200 sandboxes, at most.
    public static let agentResidentKilobytes = 25600

    /// Everything that is there because of an idle process sandbox, proportionally, at most.
    public static let idleSandboxKilobytes = 1536

    /// From the request to a writable root on an image that is in the store and mounted, at most.
    public static let imageReadyMedianMicroseconds = 500

    /// The import of a layer, to `bsdtar -x` and `mkfs.erofs` by hand on the same archive, at most.
    public static let imageImportToByHand = 1.2

    /// Copies in memory of what 1,000 sandboxes of an image read of it, at most.
    public static let imagePageCopies = 1

    /// What a guest with 128 MiB executes from its kernel's entry until it is ready, at most.
    public static let guestStartInstructions = 20_000_000
    /// What they were when they were counted last, with a disk, entropy and balloon, and how many
    /// times that they may become before a test fails.
    public static let guestStartMeasured = 15_297_534
    public static let guestStartGrowth = 1.02

    /// From before the monitor of a microVM is executed until its guest's first instructions are
    /// done, at the median, at most.
    public static let microVMEntryMilliseconds = 5
    /// The same from the word to begin, with a monitor that was held ready, at most.
    public static let preparedMicroVMEntryMilliseconds = 1
    /// From before a monitor is executed for a snapshot until the next instruction of its guest, at
    /// the median, at most.
    public static let restoredMicroVMEntryMilliseconds = 3
    /// The same from the word to a monitor that waits for any snapshot.
    public static let preparedRestoreEntryMilliseconds = 1.2
    /// The same from the word to a clone that is held ready.
    public static let heldCloneEntryMilliseconds = 0.4
    /// A monitor that is executed for a snapshot of 8 GiB, to one for 128 MiB, at most.
    public static let restoreOfLargeToSmall = 1.2
    /// What a monitor holds of memory beside its guest's and the text that monitors share, at most.
    public static let monitorMemoryKilobytes = 5120
    /// From the execution of the monitor until a guest with Linux is ready, to QEMU's microvm
    /// machine with the same kernel and initial files, at most.
    public static let microVMReadyToQEMU = 0.7

    /// Starts that find nothing ready, of simulated functions with a steady or a bursty load, at
    /// most, in hundredths, when making one takes 100 ms.
    public static let pooledColdSharePercent = 0.01

    /// The file of `alcove-init`, stripped.
    public static let initFileKilobytes = 160
    /// What a running `alcove-init` holds of memory, shared pages included.
    public static let initMemoryKilobytes = 200
    /// The initial file system of a microVM's guest.
    public static let initrdKilobytes = 164
    /// The base image: every file's bytes.
    public static let baseImageKilobytes = 4096
}

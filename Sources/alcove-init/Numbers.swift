internal import CInit

/// Signals that are treated in a way of their own.
enum Signal {
    static let kill = Int32(CINIT_SIGKILL)
    static let childEnded = Int32(CINIT_SIGCHLD)
}

/// An error number of the kernel.
struct KernelError: Error {
    let number: Int32

    static let noEntry = Int32(CINIT_ENOENT)
    static let interrupted = Int32(CINIT_EINTR)
    static let wouldBlock = Int32(CINIT_EAGAIN)
}

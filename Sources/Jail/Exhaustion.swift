internal import LinuxKernel
internal import SandboxModel

extension ErrorNumber {
    /// What there is no more of, where the set-up of a sandbox fails with this.
    var shortage: String? {
        switch rawValue {
        // EAGAIN, of clone
        case 11: "the host has no processes left"
        // ENOMEM
        case 12: "the host has no memory left"
        // ENFILE
        case 23: "the host has no descriptors left"
        // EMFILE
        case 24: "too many files are open: raise the limit of open files"
        // ENOSPC, EDQUOT
        case 28, 122: "the host has no room left"
        default: nil
        }
    }
}

extension SandboxError {
    /// A call that the host makes for a sandbox has failed.
    init(setUp message: String, _ error: ErrorNumber, hint: String? = nil) {
        if let shortage = error.shortage {
            self.init(.exhausted, message, hint: hint ?? shortage)
        } else {
            self.init(.setUpFailed, message, hint: hint)
        }
    }
}

internal import CLinux

extension SeccompProgram {
    /// Judges each call of the calling thread, and of those that it makes, from now on. Other
    /// threads go on as they were. Corresponds to `SECCOMP_SET_MODE_FILTER`.
    ///
    /// For a thread that can gain no privileges; see ``ThisProcess/renouncePrivileges()``.
    public func install() throws(SystemCallError) {
        let words = words
        // SAFETY: the instructions live until the call is over, in which the kernel copies them.
        let result = unsafe words.withUnsafeBytes { bytes in
            // struct sock_fprog: how many in two bytes, then where they are.
            var program = (UInt64(words.count), UInt64(UInt(bitPattern: bytes.baseAddress)))
            return withAddress(of: &program) {
                systemCall(__NR_seccomp, UInt64(SECCOMP_SET_MODE_FILTER), 0, $0)
            }
        }
        try checked(result, "seccomp")
    }
}

extension ThisProcess {
    /// The calling thread, and those that it makes, gain nothing by programs that they execute: so
    /// they may judge their own calls. Corresponds to `PR_SET_NO_NEW_PRIVS`.
    public static func renouncePrivileges() throws(SystemCallError) {
        try checked(systemCall(__NR_prctl, UInt64(PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0), "prctl")
    }
}

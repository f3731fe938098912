internal import CLinux
internal import CSeccomp

/// Names and numbers of system calls on x86-64, as libseccomp knows them.
public enum SystemCallTable {
    /// The number of a call, or nil if x86-64 has no call of this name or libseccomp is older.
    public static func number(of name: String) -> UInt32? {
        // SAFETY: the name is a null-terminated string for the time of the call.
        let number = unsafe seccomp_syscall_resolve_name_arch(SeccompProgram.architecture, name)
        // Negative: unknown, or libseccomp's own mark for a call of other architectures.
        return UInt32(exactly: number)
    }

    /// The name of a call, or nil if libseccomp knows none of this number.
    public static func name(of number: UInt32) -> String? {
        guard let number = Int32(exactly: number) else { return nil }
        // SAFETY: the result is null or a null-terminated string that belongs to us.
        guard
            let name = unsafe seccomp_syscall_resolve_num_arch(SeccompProgram.architecture, number)
        else { return nil }
        defer { unsafe alcove_free(name) }
        return unsafe String(cString: name)
    }
}

internal import CCapability
internal import CLinux

/// The capabilities that this kernel knows.
public enum Capabilities {
    /// The number of the last one: `CAP_LAST_CAP` of the running kernel.
    public static let last: Int32 = Int32(cap_max_bits()) - 1

    /// Its name as people know it: `cap_sys_admin`.
    public static func name(of capability: Int32) -> String {
        // SAFETY: libcap gives a text of its own heap, or null; it is copied, then freed.
        guard let text = unsafe cap_to_name(capability) else { return "capability \(capability)" }
        // SAFETY: as above.
        defer { unsafe _ = cap_free(text) }
        // SAFETY: as above.
        return unsafe String(cString: text)
    }

    /// Takes every capability out of what this thread, and who descends from it, could gain by
    /// `exec`. What it has now stays.
    public static func dropBoundingSet() throws(SystemCallError) {
        for capability in 0...last {
            try checked(
                systemCall(
                    __NR_prctl, UInt64(argument: PR_CAPBSET_DROP), UInt64(argument: capability)),
                "prctl", name(of: capability))
        }
    }

    /// Whether this process may use the capability now.
    public static func isEffective(_ capability: Int32) -> Bool {
        // SAFETY: libcap gives a set of its own, which is freed below.
        guard let set = unsafe cap_get_proc() else { return false }
        // SAFETY: as above.
        defer { unsafe _ = cap_free(UnsafeMutableRawPointer(set)) }
        var value = CAP_CLEAR
        // SAFETY: the set is alive, and `value` is written before the call gives back.
        let result = unsafe cap_get_flag(set, cap_value_t(capability), CAP_EFFECTIVE, &value)
        return result == 0 && value == CAP_SET
    }
}

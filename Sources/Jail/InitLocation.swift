internal import LinuxKernel

/// Where alcove-init is, when nobody says so.
public enum InitLocation {
    /// Named by the environment, beside this program, or in the folder of libraries that belongs
    /// to this program's, to local programs, or to the system. The last where there is none.
    public static func path() -> String {
        if let path = ProcessEnvironment.value(of: "ALCOVE_INIT"), !path.isEmpty { return path }
        return ProgramFolder.find(
            ["alcove-init", "../lib/alcove/alcove-init"], else: "alcove-init")
    }
}

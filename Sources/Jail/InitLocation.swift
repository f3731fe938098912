internal import LinuxKernel

/// Where alcove-init is, when nobody says so.
public enum InitLocation {
    /// Named by the environment, beside this program, or in the folder of libraries that belongs
    /// to this program's, to local programs, or to the system. The last where there is none.
    public static func path() -> String {
        if let path = ProcessEnvironment.value(of: "ALCOVE_INIT"), !path.isEmpty { return path }
        let own = (try? Files.linkTarget("/proc/self/exe")) ?? "alcove"
        let folder = own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
        let above = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? ".."
        let last = "/usr/lib/alcove/alcove-init"
        let places = [
            folder + "/alcove-init", above + "/lib/alcove/alcove-init",
            "/usr/local/lib/alcove/alcove-init",
        ]
        return places.first { Files.exists($0) } ?? last
    }
}

internal import LinuxKernel

/// Where the directory is that microVMs run from, when nobody says so.
public enum MonitorLocation {
    /// Named by the environment, beside this program, where it is built, or in the folder of
    /// libraries that belongs to this program's, to local programs, or to the system. The last
    /// where there is none.
    public static func path() -> String {
        if let path = ProcessEnvironment.value(of: "ALCOVE_MONITOR"), !path.isEmpty { return path }
        return ProgramFolder.find(
            ["monitor", "../rootfs/monitor", "../lib/alcove/monitor"], else: "monitor")
    }
}

/// Places beside this program.
enum ProgramFolder {
    /// The first that is there of some paths beside the program, or of a name in the folders of
    /// libraries; the system's where there is none.
    static func find(_ besides: [String], else name: String) -> String {
        let own = (try? Files.linkTarget("/proc/self/exe")) ?? "alcove"
        let folder = own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
        let above = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? ".."
        let last = "/usr/lib/alcove/" + name
        let places =
            besides.map { $0.hasPrefix("../") ? above + $0.dropFirst(2) : folder + "/" + $0 }
            + ["/usr/local/lib/alcove/" + name]
        return places.first { Files.exists($0) } ?? last
    }
}

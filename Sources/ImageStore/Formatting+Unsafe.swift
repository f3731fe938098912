internal import Glibc

/// Programs of the host that make file systems.
enum Formatting {
    /// Runs a program to its end, without input and output.
    static func run(_ program: String, _ arguments: [String]) throws(ImageError) {
        // SAFETY: initialized by the call below, which cannot fail over glibc, and destroyed once.
        var actions = unsafe posix_spawn_file_actions_t()
        // SAFETY: as above.
        unsafe posix_spawn_file_actions_init(&actions)
        // SAFETY: as above.
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for number in Int32(0)...2 {
            // SAFETY: as above; the call copies the path.
            unsafe posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
        }
        let path = "/usr/sbin:/usr/bin:/sbin:/bin"
        let places: [String] = path.split(separator: ":").map { "\($0)/\(program)" }
        // SAFETY: a text that ends with zero for the time of the call.
        let found = places.first { unsafe access($0, X_OK) == 0 }
        guard let found else {
            throw ImageError(
                .unsupported, "`\(program)` is not on this node",
                hint: "install e2fsprogs, or keep what sandboxes change in memory")
        }
        // SAFETY: copies that end with zero, freed below, after the last use.
        var words = unsafe ([found] + arguments).map { unsafe strdup($0) } + [nil]
        // SAFETY: as above.
        var environment = unsafe [strdup("PATH=\(path)"), nil]
        defer {
            // SAFETY: made above by strdup, and nobody else has them.
            unsafe (words + environment).forEach { unsafe free($0) }
        }
        var process: pid_t = 0
        // SAFETY: both arrays end with null, and are not changed during the call.
        let error = unsafe posix_spawn(&process, found, &actions, nil, &words, &environment)
        guard error == 0 else {
            throw ImageError(.storage, "start `\(program)`: error \(error)")
        }
        var status: Int32 = 0
        // SAFETY: writes the status during the call. The process is this function's own.
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else {
            throw ImageError(.storage, "`\(program)` failed with status \(status)")
        }
    }
}

internal import LinuxKernel

extension Store {
    /// The database's name in its directory.
    static let fileName = "alcove.db"

    /// Opens the record in a directory, or begins one. The directory is there already, and belongs
    /// to the record alone.
    ///
    /// Refuses a record that another process has open, that a newer version wrote, or that is
    /// damaged; such a one stays as it is.
    public static func open(
        directory: String, checkpoints: CheckpointLimits = .init()
    ) throws(StoreError) -> Store {
        try open(directory: directory, checkpoints: checkpoints, schema: .current)
    }

    static func open(
        directory: String, checkpoints: CheckpointLimits, schema: Schema
    ) throws(StoreError) -> Store {
        let path = "\(directory)/\(fileName)"
        let lock = try RecordLock(directory: directory, doing: "open", on: path)
        try makeFile(path)
        let connection = try Connection(path: path)
        try connection.configure(cacheKibibytes: 1024, busyMilliseconds: 1000)
        try schema.verify(connection)
        try connection.check()
        try connection.useLog()
        try connection.execute("PRAGMA synchronous = FULL", doing: "open")
        try schema.migrate(connection)
        let checkpointer = Checkpointer(path: path, limits: checkpoints)
        try emptyLog(of: connection, checkpointer)
        // From here on the checkpoints alone sync.
        try connection.execute("PRAGMA synchronous = OFF", doing: "open")
        return try Store(
            path: path, lock: lock, connection: connection, checkpointer: checkpointer,
            inBackground: checkpoints.inBackground)
    }

    /// Moves what an earlier process left in the log. Without room for that, the log is kept.
    private static func emptyLog(
        of connection: Connection, _ checkpointer: Checkpointer
    ) throws(StoreError) {
        do throws(StoreError) {
            _ = try connection.checkpoint(.truncate)
        } catch {
            guard error.kind == .full || error.kind == .busy else { throw error }
            checkpointer.log.with { $0.mayRestart = true }
        }
    }

    /// Makes the files be the owner's alone; the library gives the log the database's mode.
    private static func makeFile(_ path: String) throws(StoreError) {
        do throws(SystemCallError) {
            _ = try Files.open(path, [.readWrite, .create], permissions: 0o600)
            for path in [path, "\(path)-wal", "\(path)-shm"] where Files.exists(path) {
                let mode = try Files.status(of: path).mode
                if mode & 0o077 != 0 { try Files.changeMode(of: path, to: 0o600) }
            }
        } catch {
            throw StoreError(error, doing: "open", on: path)
        }
    }

    /// Bytes of the record's files in a directory.
    public static func size(directory: String) -> UInt64 {
        ["", "-wal", "-shm"].reduce(0) { sum, suffix in
            sum + ((try? Files.status(of: "\(directory)/\(fileName)\(suffix)"))?.size ?? 0)
        }
    }

    /// Moves the files of a record that cannot be used out of the way, into a new directory beside
    /// them, and gives its path. The next open begins an empty record.
    public static func setAside(directory: String) throws(StoreError) -> String {
        let path = "\(directory)/\(fileName)"
        let lock = try RecordLock(directory: directory, doing: "set aside", on: path)
        return try withExtendedLifetime(lock) { () throws(StoreError) in
            try moveAside(directory, path)
        }
    }

    private static func moveAside(
        _ directory: String, _ path: String
    ) throws(StoreError) -> String {
        do throws(SystemCallError) {
            let folder = try Files.open(directory, [.readOnly, .directory])
            var number = 1
            while Files.exists("\(fileName).aside-\(number)", at: folder) { number += 1 }
            let aside = "\(fileName).aside-\(number)"
            try Files.makeDirectory(aside, at: folder, permissions: 0o700)
            // The log first: a new database must never meet it.
            for name in ["\(fileName)-shm", "\(fileName)-wal", fileName]
            where Files.exists(name, at: folder) {
                try Files.rename(name, to: "\(aside)/\(name)", at: folder)
            }
            return "\(directory)/\(aside)"
        } catch {
            throw StoreError(error, doing: "set aside", on: path)
        }
    }
}

internal import LinuxKernel

/// Keeps a record for one store of one process.
///
/// A lock of the process, on a file of its own: it must end with the process, even while a child
/// that is about to execute another program still has a copy of the descriptor. Such a lock does
/// not keep the same process out, and closing the file a second time would end it; for that, there
/// is a list.
final class RecordLock {
    private struct Directory: Hashable {
        let inode: UInt64
        let major: UInt32
        let minor: UInt32
    }

    private static let taken = Locked<Set<Directory>>([])

    private let directory: Directory
    private var file: Descriptor?

    /// - Parameter path: the path of the database.
    init(
        directory path: String, doing what: String, on database: String
    ) throws(StoreError) {
        let directory: Directory
        do throws(SystemCallError) {
            let status = try Files.status(of: path)
            directory = Directory(
                inode: status.inode, major: status.device.major, minor: status.device.minor)
        } catch {
            throw StoreError(error, doing: what, on: database)
        }
        let busy = StoreError(.busy, doing: what, on: database, why: "another process has it open")
        guard Self.taken.with({ $0.insert(directory).inserted }) else { throw busy }
        do throws(StoreError) {
            file = try Self.lockedFile("\(database)-lock", doing: what, on: database, else: busy)
        } catch {
            Self.taken.with { _ = $0.remove(directory) }
            throw error
        }
        self.directory = directory
    }

    private static func lockedFile(
        _ path: String, doing what: String, on database: String, else busy: StoreError
    ) throws(StoreError) -> Descriptor {
        do throws(SystemCallError) {
            let file = try Files.open(path, [.readWrite, .create], permissions: 0o600)
            if try file.lockForProcess() { return file }
        } catch {
            throw StoreError(error, doing: what, on: database)
        }
        throw busy
    }

    deinit {
        // First the file: closing it would end the lock of the next store of this process.
        file = nil
        Self.taken.with { _ = $0.remove(directory) }
    }
}

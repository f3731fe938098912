public import KVM
public import LinuxKernel
public import Virtio

/// Why a machine was not saved, or did not become what a snapshot says.
public enum SnapshotError: Error, Hashable, Sendable {
    case systemCall(SystemCallError)
    case machine(MachineError)
    /// No such file begins so.
    case notOne
    /// It is of another version than the only one known.
    case unknownVersion(UInt32)
    case badChecksum
    case damaged(StateFault)
    /// The file of the memory is of another snapshot, or was not finished.
    case otherMemory
    /// What has changes needs the whole one that they are of, and a whole one needs no other.
    case otherBase
    /// Changes are of a whole snapshot that the guest went on with, in a bounded number of pieces.
    case noChanges(String)
    /// This host cannot show the guest what it was shown.
    case missingFeatures([String])
    case processor(index: Int, ProcessorStateError)
    /// It has other devices than the machine that is to take it over.
    case otherDevices(saved: Int, here: Int)
    case otherConfiguration(String)
    /// The guest ended before it was saved.
    case ended
}

extension SnapshotError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .systemCall(let error): "\(error)"
        case .machine(let error): "\(error)"
        case .notOne: "the file is no snapshot"
        case .unknownVersion(let version):
            "the snapshot has version \(version), not \(Snapshot.version): take it anew"
        case .badChecksum: "the snapshot's file is damaged: its checksum is wrong"
        case .damaged(let fault): "the snapshot's file is damaged: \(fault)"
        case .otherMemory: "the file of the memory is not this snapshot's, or not all of it"
        case .otherBase: "the snapshot below is not the one that the changes are of"
        case .noChanges(let reason): "the changes cannot be saved: \(reason); take a whole snapshot"
        case .missingFeatures(let features):
            "this host's processors lack what the snapshot's guest was shown: "
                + features.joined(separator: ", ")
        case .processor(let index, let error): "processor \(index): \(error)"
        case .otherDevices(let saved, let here):
            "the snapshot has \(saved) devices, and this machine has \(here)"
        case .otherConfiguration(let what): "the snapshot is of a machine with \(what)"
        case .ended: "the guest has ended"
        }
    }
}

import LinuxKernel

/// Inputs for one device, one after another in this process, and what must not grow meanwhile.
final class FuzzCampaign {
    /// What a run may need for the first time, long after the start.
    private static let mostGrownPages: Int64 = 16_384
    /// The memory is looked at when so many inputs have been tried.
    private static let inputsBetweenLooks = 1024
    private static let mostKept = 4096

    private let make: FuzzSubjects.Make
    private let host: FuzzHost
    private var firstPages: Int64?
    private(set) var count = 0
    /// The most that an input made the device count, of each thing it counts.
    private(set) var reached: [UInt64] = []

    /// - Parameter folder: where files are made.
    init(_ make: @escaping FuzzSubjects.Make, folder: String) throws {
        self.make = make
        host = try FuzzHost(folder: folder)
        // What is made once is there before it is counted.
        _ = try outcomes(of: [])
    }

    @discardableResult
    func perform(_ bytes: [UInt8]) throws -> [UInt64] {
        let before = try Self.openDescriptors()
        let outcomes = try outcomes(of: bytes)
        count += 1
        let after = try Self.openDescriptors()
        precondition(after == before, "a descriptor was left open")
        if count.isMultiple(of: Self.inputsBetweenLooks) { try checkMemory() }
        return outcomes
    }

    private func outcomes(of bytes: [UInt8]) throws -> [UInt64] {
        let run = try FuzzRun(host, make)
        let outcomes = run.perform(bytes)
        let counts = run.reached
        reached = counts.indices.map { max(counts[$0], $0 < reached.count ? reached[$0] : 0) }
        return outcomes
    }

    private static func openDescriptors() throws -> Int {
        try DirectoryListing.names(in: "/proc/self/fd").count
    }

    private func checkMemory() throws {
        let text = try Files.read("/proc/self/statm")
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
        let first = firstPages ?? pages
        firstPages = first
        precondition(
            pages - first < Self.mostGrownPages,
            "the memory grew from \(first) to \(pages) pages in \(count) inputs")
    }

    // MARK: - Mutation

    /// FNV-1a, which is the same in each process.
    private static func hash(_ outcomes: [UInt64]) -> UInt64 {
        outcomes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 }
    }

    /// Tries inputs made of those that are known, and keeps what brings something new.
    ///
    /// - Parameters:
    ///   - current: a file that has the input which is being tried, for when it is the last.
    /// - Returns: how many different outcomes were seen.
    func mutate(
        _ corpus: [[UInt8]], inputs: Int, seed: UInt64, current: borrowing Descriptor
    ) throws -> Int {
        var mutator = FuzzMutator(seed: seed)
        var kept = corpus
        // By their hashes: there are many, and long ones.
        var seen: Set<UInt64> = []
        for index in 0..<inputs {
            let bytes = index < corpus.count ? corpus[index] : mutator.next(kept)
            try current.setSize(0)
            try current.write(bytes.span, at: 0)
            let isNew = seen.insert(Self.hash(try perform(bytes))).inserted
            guard isNew, index >= corpus.count else { continue }
            if kept.count < Self.mostKept {
                kept.append(bytes)
            } else {
                kept[mutator.index(kept.count)] = bytes
            }
        }
        return seen.count
    }
}

/// Makes inputs out of others. The same seed makes the same.
struct FuzzMutator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    /// SplitMix64.
    private mutating func random() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func index(_ count: Int) -> Int { Int(random() % UInt64(max(count, 1))) }
    private mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: random()) }

    mutating func next(_ corpus: [[UInt8]]) -> [UInt8] {
        guard !corpus.isEmpty, index(16) > 0 else {
            return (0..<1 + index(160)).map { _ in byte() }
        }
        var bytes = corpus[index(corpus.count)]
        for _ in 0..<1 + index(6) { mutate(&bytes, corpus) }
        return Array(bytes.prefix(FuzzInput.mostBytes))
    }

    private mutating func mutate(_ bytes: inout [UInt8], _ corpus: [[UInt8]]) {
        guard !bytes.isEmpty else {
            bytes = [byte()]
            return
        }
        let place = index(bytes.count)
        let length = 1 + index(min(24, bytes.count - place))
        switch index(8) {
        case 0: bytes[place] ^= 1 << UInt8(index(8))
        case 1: bytes[place] = byte()
        case 2: bytes[place] = UInt8(index(28))
        case 3: bytes[place] &+= UInt8(index(9)) &- 4
        case 4: bytes.removeSubrange(place..<place + length)
        case 5: bytes.insert(contentsOf: (0..<length).map { _ in byte() }, at: place)
        case 6: bytes.insert(contentsOf: bytes[place..<place + length], at: index(bytes.count))
        default:
            let other = corpus[index(corpus.count)]
            let from = index(other.count)
            bytes.replaceSubrange(place..., with: other.dropFirst(from))
        }
    }
}

internal import AgentAPI
internal import ImageStore
internal import LinuxKernel
internal import RPC
internal import SandboxModel

extension AgentAPI.Image {
    private static let mostUsers = 32

    /// - Parameter users: ids of sandboxes that are made of it, in order.
    init(_ image: StoredImage, users: [String]) {
        let summary = image.summary
        let record = summary.record
        self.init()
        name = summary.names.first ?? ""
        importedAtNanoseconds = record.importedAtNanoseconds
        bytes = summary.bytes
        sandboxes = UInt32(clamping: users.count)
        kind = .stored
        digest = "\(record.identifier)"
        names = summary.names
        files = image.layers.reduce(0) { $0 + UInt64(clamping: $1.entries) }
        layers = image.layers.map { ImageLayer(digest: "\($0.digest)", bytes: $0.bytes) }
        sharedBytes = summary.sharedBytes
        var config = AgentAPI.ImageConfig()
        config.entrypoint = record.config.entrypoint
        config.command = record.config.command
        config.environment = record.config.environment
        config.workingDirectory = record.config.workingDirectory
        config.user = record.config.user
        config.stopSignal = record.config.stopSignal
        for label in record.config.labels { config.labels[label.name] = label.value }
        self.config = config
        platform = "\(record.platform)"
        pinned = summary.isPinned
        damagedLayers = summary.damagedLayers.map { "\($0)" }
        self.users = Array(users.prefix(Self.mostUsers))
        lastUsedAtNanoseconds = summary.lastUsedAtNanoseconds
        manifestDigest = record.manifest.map { "\($0)" } ?? ""
    }

    /// A directory tree with those who use it.
    func counted(_ users: [String]) -> AgentAPI.Image {
        var image = self
        image.sandboxes = UInt32(clamping: users.count)
        image.users = Array(users.prefix(Self.mostUsers))
        return image
    }
}

extension CallFailure {
    init(_ error: ImageError) {
        let code: RPC.Status.Code =
            switch error.code {
            case .malformed, .digestMismatch, .limitExceeded, .refused, .unsupported:
                .invalidArgument
            case .notFound: .notFound
            case .inUse: .failedPrecondition
            case .damaged: .dataLoss
            case .noSpace: .resourceExhausted
            case .cancelled: .cancelled
            case .notPermitted: .permissionDenied
            case .storage: .internal
            }
        self.init(
            code, reason: "\(error.code.rawValue)", error.message, hint: error.hint ?? "")
    }

    static func noImage(_ name: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "not_found", "there is no image `\(name.prefix(128))`",
            hint: "`alcove image ls` lists them")
    }

    static func imageInUse(_ name: String, _ users: [String]) -> CallFailure {
        let shown = users.prefix(3).map { "`\($0)`" }.joined(separator: ", ")
        return CallFailure(
            .failedPrecondition, reason: "in_use",
            "image `\(name.prefix(128))` is used by \(users.count): \(shown)"
                + (users.count > 3 ? ", …" : ""),
            hint: "delete them first; `alcove ps --all` lists them")
    }
}

extension AgentAPI.ImportResponse.Progress {
    init(_ progress: ImportProgress) {
        self.init(
            layersDone: UInt32(clamping: progress.layersDone),
            layers: UInt32(clamping: progress.layers),
            layersPresent: UInt32(clamping: progress.layersPresent),
            bytesDone: progress.bytesDone, bytes: progress.bytes,
            nanoseconds: progress.nanoseconds, waiting: progress.isWaiting)
    }
}

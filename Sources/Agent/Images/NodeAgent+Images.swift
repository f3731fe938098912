internal import AgentAPI
internal import AgentOperations
internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// What a sandbox is to be made of, found.
enum FoundImage {
    case directory(String)
    case stored(StoredImage, source: ImageSource, user: SandboxModel.SandboxSpec.User)
}

/// How sandboxes come to their images.
extension NodeAgent {
    // MARK: - Before a sandbox is made

    /// Finds what a specification names: at once, but for an image of the store that was not used
    /// before, which is mounted first.
    func find(
        _ wanted: AgentAPI.SandboxSpec,
        then next: @escaping (Result<FoundImage, CallFailure>) -> Void
    ) {
        let image: StoredImage
        let source: ImageSource
        do throws(CallFailure) {
            guard let stored = try storedImage(of: wanted) else {
                return next(.success(.directory(try images.directory(of: wanted.image))))
            }
            image = stored
            source = try self.source(of: wanted, over: stored)
        } catch {
            return next(.failure(error))
        }
        let name = wanted.user.isEmpty ? image.defaults.user : wanted.user
        if let user = stored.user(named: name, in: source.all) {
            return next(.success(.stored(image, source: source, user: user)))
        }
        // A guest mounts its root itself: the host need not, unless somebody is to be looked for.
        if let numbers = SandboxModel.SandboxSpec.User(numbers: name),
            (try? engine(for: wanted.isolation))?.kind == .microvm
        {
            return next(.success(.stored(image, source: source, user: numbers)))
        }
        offload(to: workers) { () throws(SandboxError) in
            // Also where nobody has to be looked for: the thread that starts sandboxes does not
            // wait for a disk then.
            let tree = try source.open()
            return SandboxModel.SandboxSpec.User(numbers: name) ?? tree.user(named: name)
        } then: { [self] result in
            switch result {
            case .success(let user?):
                stored.remember(user, named: name, in: source.all)
                next(.success(.stored(image, source: source, user: user)))
            case .success(nil): next(.failure(Self.noUser(wanted, image)))
            case .failure(let error): next(.failure(CallFailure(error)))
            }
        }
    }

    /// What is said of a specification whose user is not there.
    private static func noUser(
        _ wanted: AgentAPI.SandboxSpec, _ image: StoredImage
    ) -> CallFailure {
        do throws(CallFailure) {
            _ = try wanted.model(over: image.defaults) { _ in nil }
            return .invalid("spec.user", "is no user of the image")
        } catch {
            return error
        }
    }

    /// The image of the store that a specification names; nothing where it names a directory.
    private func storedImage(
        of wanted: AgentAPI.SandboxSpec
    ) throws(CallFailure) -> StoredImage? {
        let isDirectory = wanted.image.hasPrefix("/") || images[wanted.image] != nil
        if !isDirectory, let image = try stored.find(wanted.image) { return image }
        guard wanted.layers.isEmpty || !isDirectory else {
            throw .invalid(
                "spec.layers", "are given, and `\(wanted.image.prefix(128))` is a directory",
                hint: "layers come above an image of the store: import it from an archive")
        }
        return nil
    }

    private static let mostLayers = 32

    private func source(
        of wanted: AgentAPI.SandboxSpec, over image: StoredImage
    ) throws(CallFailure) -> ImageSource {
        guard wanted.layers.count <= Self.mostLayers else {
            throw .invalid(
                "spec.layers", "are \(wanted.layers.count), more than \(Self.mostLayers)")
        }
        var layers: [Digest] = []
        for (index, name) in wanted.layers.enumerated() {
            if let image = try stored.find(name) {
                layers.append(image.digest)
            } else if let layer = Digest(name), stored.hasLayer(layer) {
                layers.append(layer)
            } else {
                throw CallFailure(
                    .failedPrecondition, reason: SandboxError.Code.imageMissing.name,
                    "`spec.layers[\(index)]`: there is no image or layer `\(name.prefix(128))` in"
                        + " the store", hint: "`alcove image ls` lists the images")
            }
        }
        return ImageSource(
            image: image.digest, layers: layers, name: wanted.image, depot: stored.depot)
    }

    // MARK: - Specifications

    /// The specification as the model has it, with what was found, and what is told of that.
    func resolved(
        _ wanted: AgentAPI.SandboxSpec, _ found: FoundImage
    ) throws(CallFailure) -> (spec: SandboxModel.SandboxSpec, told: ResolvedSpec?) {
        switch found {
        case .directory(let directory):
            return (try resolved(wanted, inDirectory: directory), nil)
        case .stored(let image, let source, let user):
            var spec = try wanted.model(over: image.defaults) { _ in user }
            spec.image = "\(image.digest)"
            guard !spec.command.isEmpty else {
                throw .invalid(
                    "spec.command", "is empty, and the image has none",
                    hint: "give the program and its arguments")
            }
            if settings.allLimitsAreBestEffort { spec.limitPolicy = .bestEffort }
            var told = ResolvedSpec()
            told.image = "\(image.digest)"
            told.layers = source.layers.map { "\($0)" }
            told.command = spec.command
            told.workingDirectory = spec.workingDirectory
            told.user = "\(spec.user.user):\(spec.user.group)"
            let signal = Signal(named: image.summary.record.config.stopSignal) ?? .terminate
            told.stopSignal = signal.imageName
            return (spec, told)
        }
    }

    /// The specification of one that was created: the same again, but for a directory, which may
    /// have changed.
    func resolvedAgain(
        _ sandbox: AgentAPI.Sandbox
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        let wanted = sandbox.spec ?? AgentAPI.SandboxSpec()
        guard let told = sandbox.resolved else { return try resolved(wanted) }
        return try resolved(wanted, as: told)
    }

    private func resolved(
        _ wanted: AgentAPI.SandboxSpec, as told: ResolvedSpec
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        let user = SandboxModel.SandboxSpec.User(numbers: told.user) ?? Self.nobody
        let image = Digest(told.image).flatMap { stored[$0] }
        var spec = try wanted.model(over: image?.defaults ?? ImageDefaults()) { _ in user }
        spec.image = told.image
        spec.command = told.command
        spec.workingDirectory = told.workingDirectory
        spec.user = user
        if settings.allLimitsAreBestEffort { spec.limitPolicy = .bestEffort }
        return spec
    }

    /// What a sandbox is made of, from what was resolved.
    func source(of sandbox: AgentAPI.Sandbox) -> ImageSource? {
        guard let told = sandbox.resolved, let image = Digest(told.image) else { return nil }
        return ImageSource(
            image: image, layers: told.layers.compactMap { Digest($0) },
            name: sandbox.spec?.image ?? told.image, depot: stored.depot)
    }

    // MARK: - Uses

    /// A sandbox is made of its images.
    func useImages(of managed: ManagedSandbox) {
        if let source = managed.source { stored.depot.holds.use(source.all) }
    }

    /// Nothing of a sandbox is left.
    func dropImages(of managed: ManagedSandbox) {
        guard let source = managed.source else { return }
        let idle = stored.depot.holds.drop(source.all)
        guard !idle.isEmpty else { return }
        undertakers.run { source.depot.noteUse(of: idle) }
    }

    /// After all sandboxes of the record are known.
    func restoreHolds() {
        do throws(ImageError) {
            for image in try stored.depot.holds.reconcile() {
                log.warning(
                    "an image that sandboxes are made of is gone", ["image": .text("\(image)")])
            }
        } catch {
            log.error("the use of images cannot be noted", ["error": LogValue(error)])
        }
    }

    /// Reads what the store has. Without it, sandboxes run on all the same.
    func restoreStoredImages() {
        do throws(ImageError) {
            try stored.load()
        } catch {
            log.error("the store of images cannot be read", ["error": LogValue(error)])
        }
    }

    /// Ids of the sandboxes that are made of each image, in order.
    func imageUsers() -> [Digest: [String]] {
        var users: [Digest: [String]] = [:]
        for managed in registry.all {
            for image in Set(managed.source?.all ?? []) {
                users[image, default: []].append(managed.id)
            }
        }
        return users
    }

    // MARK: - The store

    /// Does something with the store on another thread, and goes on with its result on the loop's.
    func withStore<Value: Sendable>(
        on threads: Workers? = nil, isBounded: Bool = true,
        _ work: @escaping @Sendable () throws(ImageError) -> Value,
        then next: @escaping (Result<Value, CallFailure>) -> Void
    ) {
        offload(to: threads ?? workers, isBounded: isBounded) { () throws(SandboxError) in
            do throws(ImageError) {
                return Result<Value, ImageError>.success(try work())
            } catch {
                return .failure(error)
            }
        } then: { result in
            switch result {
            case .success(.success(let value)): next(.success(value))
            case .success(.failure(let error)): next(.failure(CallFailure(error)))
            case .failure(let error): next(.failure(CallFailure(error)))
            }
        }
    }
}

extension Signal {
    private static let firstRealTime: Int32 = 34

    /// As images name it: those for real time have no name of their own.
    var imageName: String {
        rawValue < Self.firstRealTime ? name : "SIGRTMIN+\(rawValue - Self.firstRealTime)"
    }

    /// `SIGTERM`, `TERM`, `15` or `RTMIN+3`; nothing for what names none.
    init?(named text: String) {
        let name = text.hasPrefix("SIG") ? String(text.dropFirst(3)) : text
        let realTime = (Int32(0)...30).first { name == "RTMIN+\($0)" }.map {
            Self.firstRealTime + $0
        }
        let number =
            Int32(name) ?? realTime
            ?? (1...31).first { Signal(rawValue: $0).name == "SIG" + name }
        guard let number, (1...64).contains(number) else { return nil }
        self.init(rawValue: number)
    }
}

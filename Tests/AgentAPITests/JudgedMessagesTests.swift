import AgentAPI
import ProtocolBuffers
import TestSupport
import Testing

@Suite struct JudgedMessagesTests {
    private func verdicts(seed: UInt64, rounds: Int) throws -> [MessageJudge.Verdict] {
        try MessageJudge.verdicts(
            seed: seed, rounds: rounds, folder: "proto", files: Definitions.files.map(\.name))
    }

    @Test(
        "messages by Google's implementation are read, and written back byte for byte",
        .needs(.pythonEnvironment), arguments: [1, 2, 3] as [UInt64])
    func messages(seed: UInt64) throws {
        var (same, broken) = (0, 0)
        for verdict in try verdicts(seed: seed, rounds: 12) {
            switch verdict {
            case .same(let name, let bytes, let canonical):
                let type = try #require(MessageTypes.byName[name], "\(name)")
                same += 1
                do throws(WireError) {
                    let ours = try type.init(decoding: bytes).encoded()
                    #expect(ours == canonical, "seed \(seed), \(name): \(bytes)")
                } catch {
                    Issue.record("seed \(seed), \(name): \(error): \(bytes)")
                }
            case .broken(let name, let bytes):
                let type = try #require(MessageTypes.byName[name], "\(name)")
                broken += 1
                #expect(throws: WireError.self, "seed \(seed), \(name): \(bytes)") {
                    try type.init(decoding: bytes)
                }
            case .doubtful(let name, let bytes):
                let type = try #require(MessageTypes.byName[name], "\(name)")
                _ = try? type.init(decoding: bytes)
            case .file, .method: continue
            }
        }
        #expect(same > 3000 && broken > 1000, "\(same) good, \(broken) broken")
    }

    @Test("reflection gives away the files that protoc reads", .needs(.pythonEnvironment))
    func files() throws {
        var names: [String] = []
        for case .file(let name, let descriptor) in try verdicts(seed: 1, rounds: 0) {
            let file = try #require(Definitions.files.first { $0.name == name }, "\(name)")
            #expect(file.bytes == descriptor, "\(name)")
            names.append(name)
        }
        #expect(names.sorted() == Definitions.files.map(\.name).sorted())
    }

    @Test(
        "services have the methods that protoc reads, of the same kind", .needs(.pythonEnvironment))
    func methods() throws {
        let services = Definitions.services + [ControlPlaneMethods.service, ProxyMethods.service]
        let ours = services.flatMap(\.methods).map { "\($0.path) \($0.kind.rawValue)" }
        var theirs: [String] = []
        for case .method(let path, let kind, _, _) in try verdicts(seed: 1, rounds: 0) {
            theirs.append("\(path) \(kind)")
        }
        #expect(ours.sorted() == theirs.sorted())
    }
}

@Suite struct DefinitionsTests {
    @Test("each file comes after those that it imports, and no symbol is in two")
    func order() {
        var seen: Set<String> = []
        for file in Definitions.files {
            #expect(seen.isSuperset(of: file.imports), "\(file.name)")
            seen.insert(file.name)
        }
        let symbols = Definitions.files.flatMap(\.symbols)
        #expect(Set(symbols).count == symbols.count)
        #expect(symbols.contains("alcove.v1.Sandboxes.Create"))
        #expect(symbols.contains("alcove.v1.Condition.Kind"))
    }

    @Test("every type of message is among those that are judged")
    func types() {
        let symbols = Set(Definitions.files.flatMap(\.symbols))
        #expect(symbols.isSuperset(of: MessageTypes.byName.keys))
        #expect(MessageTypes.byName["alcove.v1.SandboxSpec"] != nil)
    }

    @Test("a method knows its path, its kind and its messages")
    func method() {
        let create: Method<CreateRequest, CreateResponse> = SandboxesMethods.create
        #expect(create.path == "/alcove.v1.Sandboxes/Create")
        #expect(create.kind == .unary)
        #expect(SandboxesMethods.watch.kind == .serverStreaming)
        #expect(SandboxesMethods.exec.kind == .bidirectional)
        #expect(SandboxesMethods.service.name == "alcove.v1.Sandboxes")
    }
}

@Suite struct StatusDetailsTests {
    static let detail = ErrorDetail(
        code: "no_room", hint: "wait",
        shortages: [.init(resource: .memory, requested: 1 << 30, available: 5)])

    @Test("an error's detail survives the status that carries it")
    func carried() throws {
        let status = Status(code: 8, message: "no room", detail: Self.detail)
        let read = try Status(decoding: status.encoded())
        #expect(try read.detail() == Self.detail)
        #expect(read.details.first?.typeURL == "type.googleapis.com/alcove.v1.ErrorDetail")
    }

    @Test("a detail of another type is passed over, a broken one is an error")
    func others() throws {
        var status = Status(code: 8, message: "no room", detail: Self.detail)
        status.details.insert(AnyMessage(packing: ListRequest()), at: 0)
        #expect(try status.detail() == Self.detail)
        status.details = [AnyMessage(typeURL: "x/alcove.v1.ErrorDetail", value: [0x0A])]
        #expect(throws: WireError.truncated) { try status.detail() }
        status.details = [AnyMessage()]
        #expect(try status.detail() == nil)
    }
}

import ProtocolBuffers
import TestSupport
import Testing

@Suite struct JudgedCodecTests {
    static let types: [any Message.Type] = [
        Everything.self, Everything.Inner.self, Everything.Deep.self, Everything.Deep.Deeper.self,
        Keywords.self, Nothing.self,
    ]

    private func verdicts(seed: UInt64, rounds: Int) throws -> [MessageJudge.Verdict] {
        try MessageJudge.verdicts(
            seed: seed, rounds: rounds, folder: "Tests/ProtocolBuffersTests",
            files: ["every_kind.proto"])
    }

    @Test(
        "every kind of field is read and written as by Google's implementation",
        .needs(.pythonEnvironment), arguments: [4, 5, 6] as [UInt64])
    func messages(seed: UInt64) throws {
        var (same, broken) = (0, 0)
        for verdict in try verdicts(seed: seed, rounds: 80) {
            switch verdict {
            case .same(let name, let bytes, let canonical):
                let type = try #require(Self.types.first { $0.messageName == name }, "\(name)")
                same += 1
                do throws(WireError) {
                    let ours = try type.init(decoding: bytes).encoded()
                    #expect(ours == canonical, "seed \(seed), \(name): \(bytes)")
                } catch {
                    Issue.record("seed \(seed), \(name): \(error): \(bytes)")
                }
            case .broken(let name, let bytes):
                let type = try #require(Self.types.first { $0.messageName == name }, "\(name)")
                broken += 1
                #expect(throws: WireError.self, "seed \(seed), \(name): \(bytes)") {
                    try type.init(decoding: bytes)
                }
            case .doubtful(let name, let bytes):
                let type = try #require(Self.types.first { $0.messageName == name }, "\(name)")
                _ = try? type.init(decoding: bytes)
            case .file(let name, let descriptor):
                #expect(FileDescriptor.everyKind.name == name)
                #expect(FileDescriptor.everyKind.bytes == descriptor)
            case .method(let path, let kind, _, _):
                let method = EchoMethods.service.methods.first { $0.path == path }
                #expect(method?.kind.rawValue == kind, "\(path)")
            }
        }
        #expect(same > 800 && broken > 300, "\(same) good, \(broken) broken")
    }
}

import AgentAPI
import AgentViews
import Console
import Testing

/// Messages as JSON for programs.
@Suite struct MessageJSONTests {
    @Test("every field is there under its name; a choice has the one that is set")
    func sandbox() {
        let sandbox = Sandbox(
            id: "web",
            spec: SandboxSpec(
                image: "base", command: ["a", "b"], limits: Limits(milliCPUs: 500),
                timeoutNanoseconds: UInt64.max),
            state: .stopped, isolation: .process, createdAtNanoseconds: -1,
            outcome: Outcome(
                ending: Ending(how: .ended(Exit(how: .code(0)))), exitCode: -3))
        let json = MessageJSON.value(sandbox)
        #expect(
            json.object?.keys == [
                "id", "spec", "state", "isolation", "pid", "created_at_nanoseconds",
                "started_at_nanoseconds", "ended_at_nanoseconds", "outcome", "limits",
                "resolved", "network_slot",
            ])
        #expect(json["state"] == "stopped" && json["isolation"] == "process")
        #expect(json["created_at_nanoseconds"]?.int64 == -1 && json["pid"]?.int64 == 0)
        #expect(json["spec"]?["command"]?.array == ["a", "b"])
        #expect(json["spec"]?["timeout_nanoseconds"]?.uint64 == .max)
        #expect(json["spec"]?["terminal"] == false && json["spec"]?["isolation"] == "auto")
        #expect(json["spec"]?["scratch_bytes"] == .null)
        #expect(json["spec"]?["limits"]?["milli_cpus"]?.int64 == 500)
        #expect(json["spec"]?["limits"]?["memory_bytes"] == .null)
        #expect(json["outcome"]?["exit_code"]?.int64 == -3)
        #expect(json["outcome"]?["ending"]?.object?.keys == ["ended"])
        #expect(json["outcome"]?["ending"]?["ended"] == ["code": 0])
        #expect(json["outcome"]?["usage"] == .null && json["limits"] == [])
    }

    @Test("a map is an object, in the order of its keys")
    func map() {
        let labels = MessageJSON.value(
            InfoResponse(labels: ["zone": "b", "disk": "", "a/b": "1"]))[
                "labels"]
        #expect(labels?.object?.keys == ["a/b", "disk", "zone"])
        #expect(labels == ["a/b": "1", "disk": "", "zone": "b"])
        #expect(MessageJSON.value(InfoResponse())["labels"] == [:])
    }

    @Test("numbers without a name stay numbers")
    func unknown() {
        #expect(MessageJSON.value(Sandbox(state: .unrecognized(99)))["state"]?.int64 == 99)
        #expect(
            MessageJSON.value(Condition(kind: .diskPressure))["kind"] == "disk_pressure")
        let list = MessageJSON.value(ListRequest(states: [.running, .unrecognized(77)]))
        #expect(list["states"] == ["running", 77])
    }

    @Test("bytes are text where they are UTF-8, and base64 where not")
    func bytes() {
        let text = MessageJSON.value(LogEntry(stream: .stdout, data: Array("é\n".utf8)))
        #expect(text["data"] == "é\n" && text["stream"] == "stdout")
        for (bytes, base64) in [([0xff], "/w=="), ([0xff, 0], "/wA="), ([0xff, 0, 1], "/wAB")] {
            let json = MessageJSON.value(LogEntry(data: bytes.map { UInt8($0) }))
            #expect(json["data_base64"]?.string == base64 && json["data"] == nil)
        }
        #expect(MessageJSON.value(LogEntry())["data"] == "")
    }

    @Test("a line has no break within, a document ends with one")
    func texts() throws {
        let event = Event(number: 3, kind: .removed(.init()))
        let line = MessageJSON.line(event)
        #expect(line == #"{"number":3,"at_nanoseconds":0,"sandbox_id":"","removed":{}}"# + "\n")
        #expect(try JSONReader.read(MessageJSON.document(event)) == JSONReader.read(line))
        let pressure = MessageJSON.value(Pressure(some: .init(average10: 0.5)))
        #expect(pressure["some"]?["average_10"]?.double == 0.5 && pressure["full"] == .null)
    }

    @Test("every message of the API has a schema")
    func all() {
        #expect(MessageJSON.value(StatsResponse(cpu: .init()))["cpu"]?.object?.keys.count == 4)
        #expect(MessageJSON.value(ListImagesResponse())["images"] == [])
        #expect(MessageJSON.value(DrainResponse(draining: true))["draining"] == true)
        #expect(MessageJSON.value(InfoResponse(cpu: .init()))["cpu"]?["count"]?.int64 == 0)
    }
}

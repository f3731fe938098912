import Foundation
import TestSupport
import Testing

extension SandboxTests {
    /// What `alcove run` tells programs.
    @Suite struct Results {
        @Test("the timeline goes forward and has every step that the plan has for the child")
        func timeline() throws {
            let (run, result) = try Sandboxed.result(["true"])
            #expect(run.succeeded && run.output.isEmpty, "\(run)")
            let times = result.timeline.map(\.nanoseconds)
            #expect(times == times.sorted())
            #expect(result.timeline.first?.what == "requested" && times.first == 0)
            #expect(result.timeline.last?.what == "reaped")
            let names = result.timeline.map(\.what)
            #expect(Set(names).count == names.count)
            let words = try Sandboxed.words(["true"])
            // `run` makes the network namespace ahead, and drops the bounding set itself.
            let plan = try TestSupport.run(
                words[0], arguments: ["plan", "--json"] + words.dropFirst(3))
            let document = try JSONSerialization.jsonObject(with: Data(plan.output.utf8))
            let steps = try #require((document as? [String: Any])?["steps"] as? [[String: Any]])
            for step in steps where step["by"] as? String == "child" {
                let name = try #require(step["step"] as? String)
                let isInside = names.contains(name) || name.hasPrefix("execute ")
                #expect(
                    isInside || name == "raise loopback" || name.contains("bounding set"), "\(name)"
                )
            }
            for name in ["process created", "alcove-init ready", "workload started"] {
                #expect(names.contains(name))
            }
        }

        @Test("`--json` is the last line of the output, the same as `--result` writes")
        func json() throws {
            let folder = try TemporaryFolder()
            let file = folder.path + "/result"
            let run = try Sandboxed.run(
                ["echo", "text"], ["--json", "--result", file])
            let lines = run.output.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == 3 && lines[0] == "text" && lines[2] == "", "\(run)")
            let written = try String(contentsOfFile: file, encoding: .utf8)
            #expect(written == lines[1] + "\n")
            let result = try ResultDocument(written)
            #expect(result.ending == "exited" && result.exitCode == 0 && result.limits == [])
            #expect(result.usage["peak_resident_kib", default: 0] > 0)
        }

        @Test("a set-up that fails is in the result with its hint")
        func failed() throws {
            let (run, result) = try Sandboxed.result(["true"], ["--workdir", "/tmp/none"])
            #expect(run.ending == .exited(code: 71), "\(run)")
            #expect(result.ending == "failed" && result.exitCode == 71)
            #expect(result.errorCode == "set_up_failed")
            #expect(
                result.errorMessage
                    == "change directory to `/tmp/none`: No such file or directory")
            #expect(result.errorHint?.hasSuffix("of the plan, call `openat2`") == true)
        }

        @Test("a file for the result that cannot be written is said so, and no code is made up")
        func unwritable() throws {
            let result = try Sandboxed.run(["true"], ["--result", "/no/such/folder/file"])
            #expect(result.ending == .exited(code: 71), "\(result)")
            #expect(
                result.errorOutput
                    == "alcove: open `/no/such/folder/file`: No such file or directory\n")
        }
    }

    @Suite(.needs(.userNamespaces)) struct UserNamespaces {
        @Test("the maps are as asked for, and the host's numbers are the outer ones")
        func maps() throws {
            let child = try Sandboxed.start(
                [
                    "sh", "-c",
                    "tr -s ' ' < /proc/self/uid_map; cat /proc/self/gid_map | tr -s ' ';"
                        + " echo ready; cat",
                ],
                ["--map-user", "0:100000:1000", "--map-user", "1000:5000:1", "--user", "1000"])
            try child.waitForOutput("ready")
            #expect(
                child.output == """
                     0 100000 1000
                     1000 5000 1
                     0 100000 1000
                     1000 5000 1
                    ready

                    """)
            let children = try String(
                contentsOfFile: "/proc/\(child.pid)/task/\(child.pid)/children", encoding: .utf8)
            let states = try children.split(separator: " ").map {
                try String(contentsOfFile: "/proc/\($0)/status", encoding: .utf8)
            }
            let status = try #require(states.first { $0.hasPrefix("Name:\talcove-init\n") })
            #expect(status.contains("Uid:\t5000\t5000\t5000\t5000\n"), "\(status)")
            #expect(try child.finish().ending == .exited(code: 0))
        }

        @Test("files of owners that are not mapped are nobody's, and what it makes is its own")
        func owners() throws {
            let found = try Sandboxed.output(
                "stat -c %u:%g /bin /tmp /dev; touch /x && stat -c %u:%g /x",
                ["--map-user", "0:100000:65536"])
            #expect(found == "65534:65534\n0:0\n0:0\n0:0")
        }

        @Test("with a map onto itself the image's owners are as they are")
        func identical() throws {
            let found = try Sandboxed.output(
                "stat -c %u:%g /bin; echo x > /bin/new && cat /bin/new",
                ["--map-user", "0:0:65536"])
            #expect(found == "0:0\nx")
        }

        @Test("the same is hidden as without: read-only root, no mounts, one loopback")
        func readOnly() throws {
            let result = try Sandboxed.shell(
                "touch /x; hostname; ls /proc/sys/net/ipv4/conf",
                ["--map-user", "0:100000:65536", "--read-only"])
            #expect(result.output == "sandbox\nall\ndefault\nlo\n", "\(result)")
            #expect(result.errorOutput.contains("Read-only file system"), "\(result)")
        }
    }
}

import Foundation
import Testing

/// Ordinary programs live under the policy, whatever the denial is: they never make a denied call.
@Suite struct CallPolicyRuntimeTests {
    typealias Denial = CallPolicyProbe.Denial

    /// Runs a program in a new folder and expects its last line to be `done`.
    private func expectDone(
        _ words: [String], _ denial: Denial, files: [String: String] = [:],
        environment: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "alcove-runtime-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try Data(text.utf8).write(to: folder.appending(path: name))
        }
        let result = try CallPolicyProbe.run(
            ["exec"] + words, denyingBy: denial.action,
            environment: environment.merging(["HOME": folder.path]) { first, _ in first },
            in: folder)
        #expect(result.end == "exit 0", "\(result.output)", sourceLocation: sourceLocation)
        #expect(
            result.output.hasSuffix("done\n"), "\(result.output)", sourceLocation: sourceLocation)
    }

    @Test(
        "busybox sh with pipes, files, jobs and FIFOs",
        .enabled(if: CallPolicyProbe.path(of: "busybox") != nil, "busybox is not installed"),
        arguments: Denial.allCases)
    func busybox(denial: Denial) throws {
        let script = """
            set -e
            mkdir -p a/b && echo text > a/b/file && ln -s b a/link && cp -a a copy
            mkfifo pipe && (cat pipe > got &) && echo through > pipe
            find copy | sort | tail -n 1 | grep -q . && tar cf x.tar a && tar tf x.tar > /dev/null
            trap 'true' USR1; kill -USR1 $$; sleep 0.01 & wait
            ls -la a / /proc/self/fd > /dev/null; ps > /dev/null; id > /dev/null; date > /dev/null
            chmod 700 a; df . > /dev/null; uname -a > /dev/null; free > /dev/null
            hostname > /dev/null; ifconfig > /dev/null; ip link > /dev/null
            setsid true; timeout 5 true; nice true; rm -rf a copy
            echo done
            """
        try expectDone(["busybox", "sh", "-c", script], denial)
    }

    @Test(
        "python with threads, processes, sockets and asyncio",
        .enabled(if: CallPolicyProbe.path(of: "python3") != nil, "python3 is not installed"),
        arguments: Denial.allCases)
    func python(denial: Denial) throws {
        let script = """
            import asyncio, hashlib, mmap, multiprocessing, os, random, select, signal, socket
            import sqlite3, ssl, subprocess, tempfile, threading, time
            def double(x): return x * 2
            async def serve():
                async def echo(reader, writer):
                    writer.write(await reader.read(100)); await writer.drain(); writer.close()
                server = await asyncio.start_server(echo, '127.0.0.1', 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b'hi'); assert await reader.read(100) == b'hi'; writer.close()
                process = await asyncio.create_subprocess_exec('true')
                assert await process.wait() == 0
                await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)
                server.close()
            if __name__ == '__main__':
                thread = threading.Thread(target=double, args=(1,)); thread.start(); thread.join()
                assert subprocess.run(['echo', 'x'], capture_output=True).stdout == b'x\\n'
                with multiprocessing.Pool(2) as pool: assert pool.map(double, [1]) == [2]
                with multiprocessing.get_context('spawn').Pool(1) as pool: pool.map(double, [1])
                socket.getaddrinfo('localhost', 80); socket.if_nameindex()
                asyncio.run(serve()); ssl.create_default_context(); os.urandom(8)
                sqlite3.connect('x.db').execute('create table t(x)')
                mmap.mmap(-1, 4096).close(); tempfile.TemporaryFile().close()
                os.memfd_create('m'); os.sched_getaffinity(0); os.nice(0); os.getloadavg()
                try: socket.socket(40, socket.SOCK_STREAM); assert False
                except OSError as error: assert error.errno == 97
                print('done')
            """
        try expectDone(
            [CallPolicyProbe.path(of: "python3") ?? "", "program.py"], denial,
            files: ["program.py": script])
    }

    @Test(
        "perl with forks and sockets",
        .enabled(if: CallPolicyProbe.path(of: "perl") != nil, "perl is not installed"),
        arguments: Denial.allCases)
    func perl(denial: Denial) throws {
        let script = """
            use strict; use IO::Socket::INET; use File::Temp; use POSIX; use Socket;
            my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
            if (my $child = fork) {
                my $peer = $server->accept; print $peer "hello\\n"; close $peer;
                waitpid($child, 0); die if $?;
            } else {
                my $peer = IO::Socket::INET->new(
                    PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die $!;
                exit(<$peer> eq "hello\\n" ? 0 : 1);
            }
            die unless `echo x` eq "x\\n"; File::Temp->new; POSIX::nice(0);
            select(undef, undef, undef, 0.001);
            print "done\\n";
            """
        try expectDone(["perl", "-e", script], denial)
    }

    @Test(
        "git makes a repository, commits and clones it",
        .enabled(if: CallPolicyProbe.path(of: "git") != nil, "git is not installed"),
        arguments: Denial.allCases)
    func git(denial: Denial) throws {
        let script = """
            set -e; git --version; git init -q one; cd one; echo text > file; git add file
            git -c user.name=n -c user.email=e@x commit -qm first; git gc -q; cd ..
            git clone -q one two; git -C two log --oneline; git -C two status; echo done
            """
        try expectDone(["sh", "-c", script], denial)
    }

    @Test(
        "node with workers, children and sockets",
        .enabled(if: CallPolicyProbe.path(of: "node") != nil, "node is not installed"),
        arguments: Denial.allCases)
    func node(denial: Denial) throws {
        let script = """
            const net = require('net'), fs = require('fs'), dns = require('dns');
            const { Worker } = require('worker_threads'), child = require('child_process');
            if (child.execFileSync('echo', ['x']).toString() !== 'x\\n') throw 1;
            require('os').networkInterfaces(); require('crypto').randomBytes(8);
            fs.watch('.').close(); fs.writeFileSync('f', 'x'); fs.copyFileSync('f', 'g');
            const worker = new Worker('1 + 1', { eval: true });
            worker.on('exit', () => dns.lookup('localhost', () => {
                const server = net.createServer(s => s.end('hi')).listen(0, '127.0.0.1', () =>
                    net.connect(server.address().port, '127.0.0.1').on('data', () =>
                        fs.promises.readFile('f').then(() => {
                            server.close(); console.log('done');
                        })));
            }));
            """
        try expectDone(["node", "-e", script], denial)
    }

    /// The second set asks for what the policy keeps from it: NUMA and large pages.
    @Test(
        "java with threads, children and sockets",
        .enabled(if: CallPolicyProbe.path(of: "java") != nil, "java is not installed"),
        arguments: Denial.allCases, [[], ["-XX:+UseZGC", "-XX:+UseNUMA"]])
    func java(denial: Denial, options: [String]) throws {
        let program = """
            import java.net.*; import java.nio.file.*; import java.util.concurrent.*;
            public class Program {
                public static void main(String[] words) throws Exception {
                    var pool = Executors.newFixedThreadPool(2);
                    if (pool.submit(() -> 42).get() != 42) throw new Exception();
                    pool.shutdown();
                    var process = new ProcessBuilder("echo", "x").start();
                    if (process.waitFor() != 0) throw new Exception();
                    try (var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                        var thread = new Thread(() -> {
                            try (var peer = server.accept()) { peer.getOutputStream().write(7); }
                            catch (Exception error) { throw new RuntimeException(error); }
                        });
                        thread.start();
                        var port = server.getLocalPort();
                        try (var peer = new Socket(server.getInetAddress(), port)) {
                            if (peer.getInputStream().read() != 7) throw new Exception();
                        }
                        thread.join();
                    }
                    NetworkInterface.getNetworkInterfaces();
                    FileSystems.getDefault().newWatchService().close();
                    Files.writeString(Path.of("f"), "x");
                    System.gc();
                    System.out.println("done");
                }
            }
            """
        try expectDone(
            ["java", "-Xmx256m"] + options + ["Program.java"], denial,
            files: ["Program.java": program])
    }

    @Test(
        "a static program of musl with a thread and a child",
        .enabled(if: CallPolicyProbe.path(of: "musl-gcc") != nil, "musl-gcc is not installed"),
        arguments: Denial.allCases)
    func musl(denial: Denial) throws {
        let program = """
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            static void *enter(void *word) { return word; }
            int main(void) {
                pthread_t thread;
                if (pthread_create(&thread, 0, enter, 0) || pthread_join(thread, 0)) return 1;
                if (system("true")) return 2;
                puts("done");
            }
            """
        try expectDone(
            ["sh", "-c", "musl-gcc -static -o program program.c && ./program"], denial,
            files: ["program.c": program])
    }
}

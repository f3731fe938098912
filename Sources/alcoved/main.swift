internal import Console
internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.expectChildren()
Daemon.run(Array(CommandLine.arguments.dropFirst()))

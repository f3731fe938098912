internal import Console
internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.expectChildren()
// Each sandbox has several descriptors; it sets its own limit.
ThisProcess.raiseOpenFileLimit()
Daemon.run(Array(CommandLine.arguments.dropFirst()))

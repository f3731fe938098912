internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.ignoreBrokenPipes()
VMMProgram.run(Array(CommandLine.arguments.dropFirst()))

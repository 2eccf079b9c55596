package platform

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TCGETS
	setTermios      = unix.TCSETS
	setTermiosFlush = unix.TCSETSF // waits for the output, drops the input
)

func graphicalEvidence(getenv func(string) string) string { return windowSystem(getenv) }

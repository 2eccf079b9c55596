//go:build unix && !linux && !darwin

package platform

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TIOCGETA
	setTermios      = unix.TIOCSETA
	setTermiosFlush = unix.TIOCSETAF // waits for the output, drops the input
)

func graphicalEvidence(getenv func(string) string) string { return windowSystem(getenv) }

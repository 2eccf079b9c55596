package platform

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	getTermios      = unix.TIOCGETA
	setTermios      = unix.TIOCSETA
	setTermiosFlush = unix.TIOCSETAF // waits for the output, drops the input
)

func graphicalEvidence(func(string) string) string {
	info, err := os.Stat("/dev/console")
	if err != nil {
		return ""
	}
	owner, err := ownerOf("/dev/console", info)
	return consoleOwner(owner, err, os.Getuid())
}

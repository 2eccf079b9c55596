package platform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func machineConfigDir() string { return "/etc" }

// readOnly reports whether a folder is on a file system that is mounted read-only.
func readOnly(path string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(path, &stat) == nil && stat.Flags&unix.ST_RDONLY != 0
}

// overflowUser is who owns, to a process in a user namespace, what belongs to users that the namespace does not know
// (user_namespaces(7), "Unmapped user and group IDs").
const overflowUser = 65534

// unmapped reports whether a file's owner is such a user. In a container of a user who is not root, the folders above the
// person's are often the host's, and root's there.
func unmapped(owner int) bool {
	if owner != overflowUser {
		return false
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	all := len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
	return err == nil && !all
}

func lockDir() (string, error) {
	run := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	if checkPrivateDir(run) == nil {
		return filepath.Join(run, appName), nil
	}
	home, err := passwdHome()
	if errors.Is(err, ErrNoUser) {
		err = fmt.Errorf("%w, and there is no %s", err, run)
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local/state", appName, "locks"), nil
}

// parentName reads the name that the kernel has for a process, of 15 bytes at most.
func parentName() string {
	name, _ := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/comm")
	return strings.TrimSuffix(string(name), "\n")
}

package platform

import (
	"os"
	"path/filepath"
	"strconv"
)

func machineConfigDir() string { return "/etc" }

func lockDir() (string, error) {
	run := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	if checkPrivateDir(run) == nil {
		return filepath.Join(run, appName), nil
	}
	home, err := passwdHome()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local/state", appName, "locks"), nil
}

//go:build unix && !linux && !darwin

package platform

import "path/filepath"

func machineConfigDir() string { return "/etc" }

func lockDir() (string, error) {
	home, err := passwdHome()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local/state", appName, "locks"), nil
}

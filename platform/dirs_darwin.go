package platform

import "path/filepath"

func machineConfigDir() string { return "/Library/Application Support" }

func lockDir() (string, error) {
	home, err := passwdHome()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "Library/Application Support", appName, "locks"), nil
}

package platform

import "path/filepath"

func machineConfigDir() string { return "/Library/Application Support" }

// readOnly is for stores that only Linux has.
func readOnly(string) bool { return false }

func unmapped(int) bool { return false }

func lockDir() (string, error) {
	home, err := passwdHome()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "Library/Application Support", appName, "locks"), nil
}

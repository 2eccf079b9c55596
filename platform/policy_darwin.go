package platform

import (
	"errors"
	"fmt"
	"io/fs"

	"howett.net/plist"
)

// managedPreferences is where macOS keeps what a configuration profile for the computer says about a preference domain.
const managedPreferences = "/Library/Managed Preferences/" + appName + ".plist"

func machinePolicy() (at string, settings map[string]any, err error) {
	data, err := ReadTrusted(managedPreferences, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err == nil {
		_, err = plist.Unmarshal(data, &settings)
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading the policy in %s: %w", managedPreferences, err)
	}
	return managedPreferences, settings, nil
}

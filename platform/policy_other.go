//go:build unix && !darwin

package platform

func machinePolicy() (at string, settings map[string]any, err error) { return "", nil, nil }

package platform

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows/registry"
)

const (
	policyPath = `SOFTWARE\Policies\Clerk Credential Helper`
	policyKey  = `HKLM\` + policyPath
)

func machinePolicy() (at string, settings map[string]any, err error) {
	settings, err = readPolicy(registry.LOCAL_MACHINE, policyPath)
	if err != nil {
		return policyKey, nil, fmt.Errorf("reading the policy of this machine, %s: %w", policyKey, err)
	}
	return policyKey, settings, nil
}

// Far more than a company's hosts need.
const (
	maxPolicyValues = 64
	maxPolicyValue  = 64 << 10 // in bytes
)

func readPolicy(root registry.Key, path string) (map[string]any, error) {
	key, err := registry.OpenKey(root, path, registry.QUERY_VALUE|registry.ENUMERATE_SUB_KEYS|registry.WOW64_64KEY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer key.Close()
	info, err := key.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.SubKeyCount > 0:
		return nil, errors.New("there is a key below it, and nothing is read there")
	case info.ValueCount > maxPolicyValues:
		return nil, fmt.Errorf("it has %d values, above the limit of %d", info.ValueCount, maxPolicyValues)
	case info.MaxValueLen > maxPolicyValue:
		return nil, fmt.Errorf("a value has %d bytes, above the limit of %d", info.MaxValueLen, maxPolicyValue)
	}
	names, err := key.ReadValueNames(0)
	if err != nil {
		return nil, err
	}
	settings := make(map[string]any)
	for _, name := range names {
		if settings[name], err = policyValue(key, name); err != nil {
			return nil, fmt.Errorf("%.40q: %w", name, err)
		}
	}
	return settings, nil
}

func policyValue(key registry.Key, name string) (any, error) {
	_, kind, err := key.GetValue(name, nil)
	switch {
	case err != nil:
		return nil, err
	case kind == registry.SZ:
		text, _, err := key.GetStringValue(name)
		return text, err
	case kind == registry.MULTI_SZ:
		texts, _, err := key.GetStringsValue(name)
		return texts, err
	case kind == registry.DWORD:
		number, _, err := key.GetIntegerValue(name)
		return uint32(number), err
	}
	return nil, fmt.Errorf("it has the type %d: want REG_SZ, REG_MULTI_SZ or REG_DWORD", kind)
}

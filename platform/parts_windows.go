package platform

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Windows keeps at most 2,560 bytes in one credential (CRED_MAX_CREDENTIAL_BLOB_SIZE, wincred.h), less than an access
// token and a refresh token together. So a secret is kept in parts:
//
//	TARGET         a manifest: {"v":1,"id":"<16 hex>","parts":N,"sha256":"<64 hex, of the whole secret>"}
//	TARGET/ID/0    the first 2,560 bytes
//	TARGET/ID/1    the next, and so on
//
// Each write has a new id. The parts are written first, then the manifest, which is the moment of the change, then the
// old parts are removed. A reader who meets a missing or foreign part reads the manifest again.
const (
	partSize   = 2560
	maxParts   = (maxSecret + partSize - 1) / partSize
	partsTries = 100 // each further attempt means that a writer has replaced the secret meanwhile
)

// blobs is a store of small blobs. read answers [ErrNotFound]. remove takes away target, if it is there, and then
// everything below target + "/".
type blobs interface {
	read(target string) ([]byte, error)
	write(target string, blob []byte) error
	remove(target string) error
}

type manifest struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Parts   int    `json:"parts"`
	SHA256  string `json:"sha256"`
}

// errNewerParts is for a manifest that a later release has written.
var errNewerParts = errors.New("the item in the keychain has a format of a later release")

// readParts returns the secret at target: ErrNotFound if there is none, an error if it is damaged for good.
func readParts(b blobs, target string) (string, error) {
	var last manifest
	for range partsTries {
		m, err := readManifest(b, target)
		if err != nil {
			return "", err
		}
		if m == last {
			return "", ErrDamaged // unchanged since the failed attempt
		}
		secret, err := joinParts(b, target, m)
		if !errors.Is(err, ErrDamaged) {
			return secret, err
		}
		last = m
	}
	return "", ErrDamaged
}

func readManifest(b blobs, target string) (manifest, error) {
	blob, err := b.read(target)
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(blob, &m); err == nil && m.Version > 1 {
		return manifest{}, errNewerParts
	} else if err != nil || m.Version != 1 || m.Parts < 1 || m.Parts > maxParts {
		return manifest{}, ErrDamaged
	}
	return m, nil
}

func joinParts(b blobs, target string, m manifest) (string, error) {
	var secret []byte
	for i := range m.Parts {
		part, err := b.read(partTarget(target, m.ID, i))
		if errors.Is(err, ErrNotFound) {
			return "", ErrDamaged
		}
		if err != nil {
			return "", err
		}
		secret = append(secret, part...)
	}
	if sum := sha256.Sum256(secret); hex.EncodeToString(sum[:]) != m.SHA256 {
		return "", ErrDamaged
	}
	return string(secret), nil
}

// writeParts makes or replaces the secret at target.
func writeParts(b blobs, target, secret string) error {
	old, err := readManifest(b, target)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) && !errors.Is(err, errNewerParts) {
		return err
	}
	var id [8]byte
	rand.Read(id[:]) // never fails: crypto/rand
	sum := sha256.Sum256([]byte(secret))
	m := manifest{Version: 1, ID: hex.EncodeToString(id[:]), SHA256: hex.EncodeToString(sum[:])}
	for rest := secret; rest != ""; m.Parts++ {
		n := min(len(rest), partSize)
		if err := writeBlob(b, partTarget(target, m.ID, m.Parts), []byte(rest[:n])); err != nil {
			return errors.Join(err, b.remove(target+"/"+m.ID))
		}
		rest = rest[n:]
	}
	blob, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := writeBlob(b, target, blob); err != nil {
		return errors.Join(err, b.remove(target+"/"+m.ID))
	}
	if old.ID == "" {
		return nil
	}
	return b.remove(target + "/" + old.ID)
}

// writeBlob holds the limit here, because the store beneath is not always the one that enforces it (Wine does not).
func writeBlob(b blobs, target string, blob []byte) error {
	if len(blob) > partSize {
		return fmt.Errorf("a credential of %d bytes is above the limit of %d", len(blob), partSize)
	}
	return b.write(target, blob)
}

// removeParts removes the secret at target and whatever an interrupted write left behind. The manifest goes first.
func removeParts(b blobs, target string) error {
	_, missing := b.read(target)
	if missing != nil && !errors.Is(missing, ErrNotFound) {
		return missing
	}
	if err := b.remove(target); err != nil {
		return err
	}
	return missing
}

func partTarget(target, id string, i int) string { return target + "/" + id + "/" + strconv.Itoa(i) }

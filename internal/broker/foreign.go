package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// With us as their credsStore, docker and its like also keep the credentials of all other registries here, as they would
// with any helper. Each is an item of its own; one more item lists them, because a Keychain cannot.

// foreignVersion is the schema of both items. It is frozen like the session's.
const foreignVersion = 1

// foreignIndex is the name of the item that lists the others.
const foreignIndex = "docker-index"

// foreignItem is one registry's credential.
type foreignItem struct {
	Version   int    `json:"v"`
	ServerURL string `json:"server"` // exactly as the client wrote it
	Username  string `json:"username"`
	Secret    string `json:"secret"`
}

type foreignList struct {
	Version int               `json:"v"`
	Servers map[string]string `json:"servers"` // server to user name
}

func foreignName(server string) string {
	sum := sha256.Sum256([]byte(server))
	return "docker-" + hex.EncodeToString(sum[:16])
}

// foreign answers docker for hosts of no profile: from the previous helper, if the configuration names it, else from our
// keychain. It never asks a person, and is never called for a host of ours.
func (b *Broker) foreign(ctx context.Context, req protocol.Request) protocol.Reply {
	if b.Fallback != nil {
		b.trace("%q goes to the fallback", req.Shown())
		return b.Fallback(ctx, req)
	}
	return dockerStore{b.Keychain, b.Locks}.answer(ctx, req)
}

// dockerStore keeps the credentials of other registries in a keychain.
type dockerStore struct {
	keychain Keychain
	locks    Locker
}

func (d dockerStore) answer(ctx context.Context, req protocol.Request) protocol.Reply {
	switch req.Verb {
	case protocol.Get:
		return d.get(ctx, req)
	case protocol.Store:
		return done(d.store(ctx, req))
	case protocol.Erase:
		return done(d.erase(ctx, req))
	}
	list, err := d.list(ctx)
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	return protocol.Reply{Result: protocol.Found, Entries: list.Servers}
}

func done(err error) protocol.Reply {
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	return protocol.Reply{Result: protocol.Done}
}

func (d dockerStore) get(ctx context.Context, req protocol.Request) protocol.Reply {
	text, err := d.keychain.Get(ctx, foreignName(req.ServerURL))
	// Without any keychain nothing can have been kept, and a public image needs no credential.
	if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrUnavailable) {
		return protocol.Reply{}
	}
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: fmt.Errorf("reading the credential of %q: %w", req.Shown(), err)}
	}
	var item foreignItem
	if json.Unmarshal([]byte(text), &item) != nil || item.Version != foreignVersion || item.ServerURL != req.ServerURL {
		return protocol.Reply{Result: protocol.Failed, Err: fmt.Errorf("the credential of %q in the keychain is not readable", req.Shown())}
	}
	return protocol.Reply{Result: protocol.Found, Credential: protocol.Credential{Username: item.Username, Token: item.Secret}}
}

func (d dockerStore) store(ctx context.Context, req protocol.Request) error {
	if req.Shown() != req.Host {
		return fmt.Errorf("not kept: the address of %q holds a user name or a password, leave it out", req.Shown())
	}
	text, err := json.Marshal(foreignItem{foreignVersion, req.ServerURL, req.Username, req.Secret})
	if err != nil {
		return fmt.Errorf("encoding the credential of %q: %w", req.Shown(), err)
	}
	return d.change(ctx, req, func(servers map[string]string) error {
		servers[req.ServerURL] = req.Username
		return d.keychain.Set(ctx, foreignName(req.ServerURL), string(text))
	})
}

func (d dockerStore) erase(ctx context.Context, req protocol.Request) error {
	return d.change(ctx, req, func(servers map[string]string) error {
		delete(servers, req.ServerURL)
		if err := d.keychain.Delete(ctx, foreignName(req.ServerURL)); !errors.Is(err, platform.ErrNotFound) {
			return err
		}
		return nil
	})
}

// change changes an item and then the list, so that what is listed can be read.
func (d dockerStore) change(ctx context.Context, req protocol.Request, change func(servers map[string]string) error) error {
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := d.locks.Lock(limited, foreignIndex)
	if err != nil {
		return fmt.Errorf("locking docker's credentials: %w", err)
	}
	defer release()
	list, err := d.list(ctx)
	if err != nil {
		return err
	}
	before := maps.Clone(list.Servers)
	if err := change(list.Servers); err != nil {
		return fmt.Errorf("%s of the credential of %q: %w", req.Verb, req.Shown(), err)
	}
	if maps.Equal(before, list.Servers) {
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encoding the list of docker's credentials: %w", err)
	}
	if err := d.keychain.Set(ctx, foreignIndex, string(text)); err != nil {
		return fmt.Errorf("keeping the list of docker's credentials: %w", err)
	}
	return nil
}

func (d dockerStore) list(ctx context.Context) (foreignList, error) {
	list := foreignList{Version: foreignVersion, Servers: map[string]string{}}
	text, err := d.keychain.Get(ctx, foreignIndex)
	if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrUnavailable) {
		return list, nil
	}
	if err != nil {
		return list, fmt.Errorf("reading the list of docker's credentials: %w", err)
	}
	if json.Unmarshal([]byte(text), &list) != nil || list.Version != foreignVersion || list.Servers == nil {
		return list, errors.New("the list of docker's credentials in the keychain is not readable")
	}
	return list, nil
}

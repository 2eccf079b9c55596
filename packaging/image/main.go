// Command image makes the container image of a release: the program, the names by which tools call it, and the certificates
// of Mozilla's list, on nothing else. It needs no container engine, and writes an OCI layout (image-spec, image-layout.md).
//
//	image -out DIR -version V -revision COMMIT -created SECONDS -notices FILE amd64=BINARY arm64=BINARY
//
// It prints the digest of the index. The same arguments give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	program = "clerk-credential-helper"
	user    = 65532 // "nonroot" of images without a shell
)

var links = []string{"git-credential-clerk", "docker-credential-clerk", "cargo-credential-clerk", "bazel-credential-clerk"}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "", "folder of the OCI layout")
	version := flags.String("version", "", "version of the program")
	revision := flags.String("revision", "", "commit")
	created := flags.Int64("created", 0, "time of the commit, in seconds since 1970")
	notices := flags.String("notices", "", "file with the licences")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at := time.Unix(*created, 0).UTC()
	labels := map[string]string{
		"org.opencontainers.image.title":    program,
		"org.opencontainers.image.version":  *version,
		"org.opencontainers.image.revision": *revision,
		"org.opencontainers.image.created":  at.Format(time.RFC3339),
		"org.opencontainers.image.licenses": "MIT",
	}
	roots, err := layer([]file{
		{name: "etc/ssl/certs/ca-certificates.crt", content: certificates(), mode: 0o644},
		// The program keeps its locks in the home folder that the user database names.
		{name: "etc/passwd", content: []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"), mode: 0o644},
		{name: "etc/group", content: []byte("root:x:0:\nnonroot:x:65532:\n"), mode: 0o644},
		{name: "home/nonroot/", mode: 0o700, owner: user},
		{name: "root/", mode: 0o700},
		{name: "tmp/", mode: 0o1777},
	}, at)
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arg := range flags.Args() {
		arch, binary, _ := strings.Cut(arg, "=")
		files, err := programFiles(binary, *notices)
		if err != nil {
			return err
		}
		own, err := layer(files, at)
		if err != nil {
			return err
		}
		img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), roots, own)
		if err != nil {
			return err
		}
		img, err = mutate.ConfigFile(img, configOf(img, arch, labels, at))
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if _, err := layout.Write(*out, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err == nil {
		fmt.Println(digest)
	}
	return err
}

// configOf returns the configuration of an image that has its layers.
func configOf(img v1.Image, arch string, labels map[string]string, at time.Time) *v1.ConfigFile {
	c, err := img.ConfigFile()
	if err != nil {
		panic(err) // of an image in memory
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = "linux", arch, v1.Time{Time: at}
	for i := range c.History {
		c.History[i] = v1.History{Created: v1.Time{Time: at}, CreatedBy: "packaging/image"}
	}
	c.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/" + program},
		Env:        []string{"PATH=/usr/bin", "HOME=/home/nonroot"},
		User:       fmt.Sprintf("%d:%[1]d", user),
		Labels:     labels,
	}
	return c
}

// certificates returns Mozilla's roots in PEM. Those that are trusted only for older certificates are left out: a file cannot
// say so.
func certificates() []byte {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer returns no error
		}
	}
	return all.Bytes()
}

func programFiles(binary, notices string) ([]file, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	licences, err := os.ReadFile(notices)
	if err != nil {
		return nil, err
	}
	files := []file{{name: "usr/bin/" + program, content: content, mode: 0o755}}
	for _, link := range links {
		files = append(files, file{name: "usr/bin/" + link, link: program})
	}
	return append(files, file{name: "usr/share/doc/" + program + "/THIRD-PARTY-NOTICES", content: licences, mode: 0o644}), nil
}

// file is a file of a layer, a folder if its name ends with a slash, or a symbolic link.
type file struct {
	name    string
	content []byte
	mode    int64
	owner   int // and group
	link    string
}

// layer makes a layer of files and of the folders that they are in.
func layer(files []file, at time.Time) (v1.Layer, error) {
	var all bytes.Buffer
	w := tar.NewWriter(&all)
	seen := map[string]bool{".": true}
	var folders func(name string) error
	folders = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		if err := folders(path.Dir(name)); err != nil {
			return err
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: at})
	}
	for _, f := range files {
		if err := folders(path.Dir(strings.TrimSuffix(f.name, "/"))); err != nil {
			return nil, err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: f.mode, Uid: f.owner, Gid: f.owner, ModTime: at}
		switch {
		case f.link != "":
			head.Typeflag, head.Linkname, head.Mode = tar.TypeSymlink, f.link, 0o777
		case strings.HasSuffix(f.name, "/"):
			head.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(all.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

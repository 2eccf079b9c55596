// Kubectl is the client code of kubectl for "kubectl get --raw PATH" with the configuration that $KUBECONFIG names, for
// tests on machines without a kubectl. "kubectl version --client" shows that it runs.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "get" && args[1] == "--raw":
		if err := get(args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
	case len(args) != 2 || args[0] != "version":
		fmt.Fprintln(os.Stderr, "usage: kubectl get --raw PATH")
		os.Exit(2)
	}
}

func get(path string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	res, err := client.Get(config.Host + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	_, err = io.Copy(os.Stdout, res.Body)
	return err
}

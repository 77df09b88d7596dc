// Program gitops says what Argo CD and Flux make of an object, by their own rules and engines: the Lua of deploy/argocd in
// gopher-lua, kstatus, and the CEL expressions of deploy/flux. For tests only; never shipped.
//
//	gitops DEPLOY-FOLDER < object.json
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// Verdict is what the tools say of one object.
type Verdict struct {
	Argo        string `json:"argo"`
	ArgoMessage string `json:"argoMessage"`
	KStatus     string `json:"kstatus"`
	// Flux is empty if the expressions cannot be evaluated yet; Flux waits then.
	Flux string `json:"flux"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: gitops DEPLOY-FOLDER < object.json")
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	object, err := parse(text)
	if err != nil {
		return err
	}
	verdict, err := judge(os.Args[1], object)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(verdict)
}

func judge(deploy string, object Object) (Verdict, error) {
	var verdict Verdict
	var err error
	if verdict.Argo, verdict.ArgoMessage, err = Scripts(filepath.Join(deploy, "argocd/resource_customizations")).Health(object); err != nil {
		return verdict, err
	}
	if verdict.KStatus, _, err = KStatus(object); err != nil {
		return verdict, err
	}
	checks, err := checksOf(filepath.Join(deploy, "flux/backups.yaml"))
	if err != nil {
		return verdict, err
	}
	for _, check := range checks {
		if check.APIVersion == object["apiVersion"] && check.Kind == object["kind"] {
			verdict.Flux, _ = check.Evaluate(object)
		}
	}
	return verdict, nil
}

// checksOf reads spec.healthCheckExprs of a Flux Kustomization.
func checksOf(path string) ([]Check, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []Check `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	err = yaml.Unmarshal(text, &kustomization)
	return kustomization.Spec.HealthCheckExprs, err
}

// parse reads an object from YAML or JSON, with whole numbers as Kubernetes has them.
func parse(text []byte) (Object, error) {
	object := Object{}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	return whole(object).(map[string]any), nil
}

func whole(value any) any {
	switch value := value.(type) {
	case float64:
		if number := int64(value); float64(number) == value {
			return number
		}
	case []any:
		for i := range value {
			value[i] = whole(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = whole(value[key])
		}
	}
	return value
}

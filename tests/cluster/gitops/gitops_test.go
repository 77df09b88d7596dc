package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const deploy = "../../../deploy"

var update = flag.Bool("update", false, "write the ConfigMap and the ArgoCD resource anew from the scripts")

// kinds are the folders below resource_customizations.
var kinds = []string{"operator.openshift.io/EtcdBackup", "config.openshift.io/Backup"}

func folder(kind string) string {
	return filepath.Join(deploy, "argocd/resource_customizations", kind)
}

func object(t *testing.T, path string) Object {
	t.Helper()
	read, err := parse(text(t, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return read
}

func text(t *testing.T, path string) []byte {
	t.Helper()
	read, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func into(t *testing.T, path string, value any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(text(t, path), value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Argo CD's own form of a test, so that the folders can be handed to Argo CD as they are.
func TestHealth(t *testing.T) {
	for _, kind := range kinds {
		var table struct {
			Tests []struct {
				HealthStatus struct{ Status, Message string }
				InputPath    string
			}
		}
		into(t, filepath.Join(folder(kind), "health_test.yaml"), &table)
		tested := map[string]bool{}
		for _, row := range table.Tests {
			tested[filepath.Base(row.InputPath)] = true
			status, message, err := Scripts(filepath.Join(deploy, "argocd/resource_customizations")).Health(object(t, filepath.Join(folder(kind), row.InputPath)))
			if err != nil || status != row.HealthStatus.Status || message != row.HealthStatus.Message {
				t.Errorf("%s %s is %s %q %v, not %s %q", kind, row.InputPath, status, message, err, row.HealthStatus.Status, row.HealthStatus.Message)
			}
		}
		files, err := filepath.Glob(filepath.Join(folder(kind), "testdata/*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no testdata: %v", kind, err)
		}
		for _, file := range files {
			if !tested[filepath.Base(file)] {
				t.Errorf("%s is in no row of health_test.yaml", file)
			}
		}
	}
}

func TestActions(t *testing.T) {
	for _, kind := range kinds {
		actions := filepath.Join(folder(kind), "actions")
		if _, err := os.Stat(actions); err != nil {
			continue
		}
		var table struct {
			DiscoveryTests []struct {
				InputPath string
				Result    []struct{ Name, IconClass, DisplayName string }
			}
			ActionTests []struct{ Action, InputPath, ExpectedOutputPath string }
		}
		into(t, filepath.Join(actions, "action_test.yaml"), &table)
		scripts := Scripts(filepath.Join(deploy, "argocd/resource_customizations"))
		for _, row := range table.DiscoveryTests {
			found, err := scripts.Actions(object(t, filepath.Join(actions, row.InputPath)))
			expected := map[string]any{}
			for _, action := range row.Result {
				expected[action.Name] = map[string]any{"iconClass": action.IconClass, "displayName": action.DisplayName}
			}
			if err != nil || !reflect.DeepEqual(found, expected) {
				t.Errorf("%s offers %v %v, not %v", row.InputPath, found, err, expected)
			}
		}
		for _, row := range table.ActionTests {
			result, err := scripts.Act(object(t, filepath.Join(actions, row.InputPath)), row.Action)
			if err != nil {
				t.Errorf("%s: %v", row.Action, err)
				continue
			}
			expected := object(t, filepath.Join(actions, row.ExpectedOutputPath))
			if created, ok := result.([]any); ok {
				result = theCreated(t, created, expected)
			}
			if got, want := comparable(t, result), comparable(t, expected); got != want {
				t.Errorf("%s makes\n%s\nnot\n%s", row.Action, got, want)
			}
		}
	}
}

// theCreated is the one object that an action creates. Its name ends in the time, so the expected one is given to it.
func theCreated(t *testing.T, operations []any, expected Object) any {
	t.Helper()
	operation := operations[0].(map[string]any)
	if len(operations) != 1 || operation["operation"] != "create" {
		t.Fatalf("one object was to be created: %v", operations)
	}
	metadata := operation["resource"].(map[string]any)["metadata"].(map[string]any)
	name, wanted := metadata["name"].(string), expected["metadata"].(map[string]any)["name"].(string)
	prefix := strings.TrimRight(wanted, "0123456789")
	if len(name) != len(wanted) || !strings.HasPrefix(name, prefix) {
		t.Errorf("the name %s is not like %s", name, wanted)
	}
	metadata["name"] = wanted
	return operation["resource"]
}

// comparable is JSON in which an empty object is the same as none: Lua does not know the difference.
func comparable(t *testing.T, value any) string {
	t.Helper()
	first, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse(first)
	if err != nil {
		t.Fatal(err)
	}
	last, err := json.MarshalIndent(again, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(last)
}

// What kstatus and Flux's expressions say of the same objects.
func TestFlux(t *testing.T) {
	// A file of testdata, what kstatus says of it, and what the expressions of deploy/flux say; empty where Flux waits because
	// a field is not there yet.
	table := map[string][][3]string{}
	into(t, filepath.Join(deploy, "flux/testdata/states.yaml"), &table)
	for _, kind := range kinds {
		files, err := filepath.Glob(filepath.Join(folder(kind), "testdata/*.yaml"))
		if err != nil || len(files) != len(table[kind]) {
			t.Errorf("%s has %d objects and %d rows in deploy/flux/testdata/states.yaml: %v", kind, len(files), len(table[kind]), err)
		}
		for _, row := range table[kind] {
			verdict, err := judge(deploy, object(t, filepath.Join(folder(kind), "testdata", row[0]+".yaml")))
			if err != nil || verdict.KStatus != row[1] || verdict.Flux != row[2] {
				t.Errorf("%s %s: %+v %v, not %v", kind, row[0], verdict, err, row[1:])
			}
		}
	}
}

// The same scripts in the two places that Argo CD reads them from.
func TestConfiguration(t *testing.T) {
	configMap, argoCD := configuration(t)
	for file, wanted := range map[string]string{"argocd/argocd-cm.yaml": configMap, "argocd/openshift-gitops.yaml": argoCD} {
		path := filepath.Join(deploy, file)
		if *update {
			if err := os.WriteFile(path, []byte(wanted), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if string(text(t, path)) != wanted {
			t.Errorf("%s is not what follows from the scripts: go test ./... -args -update, in tests/cluster/gitops", file)
		}
	}
}

func configuration(t *testing.T) (configMap, argoCD string) {
	t.Helper()
	data := map[string]string{}
	var checks, actions []map[string]string
	for _, kind := range kinds {
		group, name := filepath.Split(kind)
		group = strings.TrimSuffix(group, "/")
		health := string(text(t, filepath.Join(folder(kind), "health.lua")))
		data["resource.customizations.health."+group+"_"+name] = health
		checks = append(checks, map[string]string{"group": group, "kind": name, "check": health})
		if action := actionsOf(t, filepath.Join(folder(kind), "actions")); action != "" {
			data["resource.customizations.actions."+group+"_"+name] = action
			actions = append(actions, map[string]string{"group": group, "kind": name, "action": action})
		}
	}
	return marshal(t, "# Health and actions of both kinds. Generated from resource_customizations; do not edit.\n", Object{
			"apiVersion": "v1", "kind": "ConfigMap", "data": data,
			"metadata": Object{"name": "argocd-cm", "namespace": "argocd", "labels": Object{"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}},
		}), marshal(t, "# The same for OpenShift GitOps, whose operator owns argocd-cm. Generated from resource_customizations; do not edit.\n", Object{
			"apiVersion": "argoproj.io/v1beta1", "kind": "ArgoCD", "metadata": Object{"name": "openshift-gitops", "namespace": "openshift-gitops"},
			"spec": Object{"resourceHealthChecks": checks, "resourceActions": actions},
		})
}

func actionsOf(t *testing.T, folder string) string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(folder, "*/action.lua"))
	if err != nil || len(scripts) == 0 {
		return ""
	}
	var definitions []Object
	for _, script := range scripts {
		definitions = append(definitions, Object{"name": filepath.Base(filepath.Dir(script)), "action.lua": string(text(t, script))})
	}
	return marshal(t, "", Object{"discovery.lua": string(text(t, filepath.Join(folder, "discovery.lua"))), "definitions": definitions})
}

func marshal(t *testing.T, head string, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return head + string(text)
}

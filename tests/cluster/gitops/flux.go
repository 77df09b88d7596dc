package main

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// KStatus is what Flux, and any other tool that waits by kstatus' rules, makes of an object.
func KStatus(object Object) (state, message string, err error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return "", "", err
	}
	return string(result.Status), result.Message, nil
}

// Check is an element of a Flux Kustomization's spec.healthCheckExprs.
type Check struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// Evaluate is the order of Flux's RFC 0009: a generation not yet observed, then inProgress, failed, current, and in progress
// if none of them holds.
func (check Check) Evaluate(object Object) (string, error) {
	resource := unstructured.Unstructured{Object: object}
	observed, found, err := unstructured.NestedInt64(object, "status", "observedGeneration")
	if err != nil {
		return "", err
	}
	if found && observed != resource.GetGeneration() {
		return string(status.InProgressStatus), nil
	}
	for _, row := range []struct {
		expression string
		state      status.Status
	}{
		{check.InProgress, status.InProgressStatus},
		{check.Failed, status.FailedStatus},
		{check.Current, status.CurrentStatus},
	} {
		if row.expression == "" {
			continue
		}
		holds, err := evaluate(row.expression, object)
		if err != nil {
			return "", err
		}
		if holds {
			return string(row.state), nil
		}
	}
	return string(status.InProgressStatus), nil
}

// evaluate has the options of Flux's own environment. As there, an expression about a field that is not there is an error,
// which Flux takes for a state that is not known, and waits.
func evaluate(expression string, object Object) (bool, error) {
	environment, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders())
	if err != nil {
		return false, err
	}
	parsed, issues := environment.Parse(expression)
	if issues != nil && issues.Err() != nil {
		return false, issues.Err()
	}
	program, err := environment.Program(parsed)
	if err != nil {
		return false, err
	}
	value, _, err := program.Eval(object)
	if err != nil {
		return false, fmt.Errorf("%q: %w", expression, err)
	}
	holds, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%q is not a truth but %v", expression, value)
	}
	return bool(holds), nil
}

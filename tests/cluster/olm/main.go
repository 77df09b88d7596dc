// olm-validate checks a bundle for the Operator Lifecycle Manager with operator-framework's own validators, offline:
// those that every bundle must pass, those of OperatorHub, and those of good practice. It prints one line for each finding and
// exits with 1 if there is an error; a warning is printed only.
package main

import (
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: olm-validate DIRECTORY")
		os.Exit(2)
	}
	bundle, err := manifests.GetBundleFromDir(os.Args[1])
	if err != nil {
		fmt.Printf("error: %v\n", err)
		os.Exit(1)
	}
	validators := validation.DefaultBundleValidators.WithValidators(
		validation.OperatorHubV2Validator,
		validation.StandardCapabilitiesValidator,
		validation.StandardCategoriesValidator,
		validation.ObjectValidator,
		validation.OperatorGroupValidator,
		validation.AlphaDeprecatedAPIsValidator,
		validation.GoodPracticesValidator,
	)
	failed := false
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, warning := range result.Warnings {
			fmt.Printf("warning: %v\n", warning)
		}
		for _, problem := range result.Errors {
			fmt.Printf("error: %v\n", problem)
			failed = true
		}
	}
	fmt.Printf("%d objects, %d bytes compressed\n", len(bundle.Objects), bundle.CompressedSize)
	if failed {
		os.Exit(1)
	}
}

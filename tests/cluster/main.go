// kube is the test cluster in one static file: etcd, the Kubernetes components and their command-line clients, built
// from the versions that go.mod pins, and cron-oracle, which tells how those components read a schedule. The tests and
// the demo run these real programs instead of imitations of them.
//
// It runs the program that its first argument names (kube etcd --version), or that it is called as through a link
// (kubectl -> kube). It is never shipped: the product's image contains none of it.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // for the time zones of CronJobs, as in the real kube-apiserver and kube-controller-manager

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs maps a name to its main function. Each reads os.Args, as the program alone would.
var programs = map[string]func(){
	"etcd":    func() { etcdmain.Main(os.Args) },
	"etcdctl": ctlv3.MustStart,
	"etcdutl": func() { run(newEtcdutlCommand()) },
	"kubectl": runKubectl,
	"kubelet": func() { run(kubelet.NewKubeletCommand(context.Background())) },

	"kube-apiserver":          func() { run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { run(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { run(scheduler.NewSchedulerCommand()) },

	"cron-oracle": cronOracle,
}

func main() {
	args := os.Args
	if _, known := programs[filepath.Base(args[0])]; !known {
		args = args[1:]
	}
	if len(args) == 0 || programs[filepath.Base(args[0])] == nil {
		names := make([]string, 0, len(programs))
		for name := range programs {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "usage: kube PROGRAM [argument]...\nPROGRAM is one of: %s\n", strings.Join(names, " "))
		os.Exit(2)
	}
	name := filepath.Base(args[0])
	os.Args = append([]string{name}, args[1:]...)
	// etcdctl switches this on for every cobra program of the process when it is imported; kubectl has it off.
	cobra.EnablePrefixMatching = name == "etcdctl" || name == "etcdutl"
	programs[name]()
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// runKubectl is the main function of k8s.io/kubernetes/cmd/kubectl.
func runKubectl() {
	logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}

// newEtcdutlCommand is the root command of go.etcd.io/etcd/etcdutl, which lives in its package main.
func newEtcdutlCommand() *cobra.Command {
	root := &cobra.Command{Use: "etcdutl", Short: "An administrative command line tool for etcd3."}
	root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple",
		"set the output format (fields, json, protobuf, simple, table)")
	root.AddCommand(
		etcdutl.NewDefragCommand(),
		etcdutl.NewSnapshotCommand(),
		etcdutl.NewHashKVCommand(),
		etcdutl.NewVersionCommand(),
		etcdutl.NewMigrateCommand(),
	)
	return root
}

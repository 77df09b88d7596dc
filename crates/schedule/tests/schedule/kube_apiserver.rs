use std::io::Write as _;
use std::process::Stdio;

use etcd_backup_schedule::validate;
use etcd_backup_testbed::{ApiServer, Kubectl as _};
use serde_json::{Value, json};

/// Schedules and zones at the edges of what is accepted.
const PAIRS: [(&str, &str); 38] = [
    ("20 4 * * *", "Etc/UTC"),
    ("  20\t4 * * *\n", "UTC"),
    ("0 0 ? * MON-fri", "Europe/Berlin"),
    ("0 0 31 2 *", "America/Argentina/ComodRivadavia"),
    (", * * * *", "Etc/GMT+12"),
    ("*-junk * * * *", "EST5EDT"),
    ("@midnight", "US/Eastern"),
    ("@every 1h30m", "GB-Eire"),
    ("@every -1s", "America/North_Dakota/New_Salem"),
    ("@every 5", "UTC"),
    ("@every  5m", "UTC"),
    ("@daily ", "UTC"),
    (" @daily", "UTC"),
    ("@Daily", "UTC"),
    ("@reboot", "UTC"),
    ("", "UTC"),
    ("20 4 * *", "UTC"),
    ("0 20 4 * * *", "UTC"),
    ("60 * * * *", "UTC"),
    ("* 24 * * *", "UTC"),
    ("* * 0 * *", "UTC"),
    ("* * * 13 *", "UTC"),
    ("* * * * 7", "UTC"),
    ("* 22-2 * * *", "UTC"),
    ("*/0 * * * *", "UTC"),
    ("1-2-3 * * * *", "UTC"),
    ("0 0 L * *", "UTC"),
    ("TZ=UTC 20 4 * * *", "UTC"),
    ("CRON_TZ=UTC 20 4 * * *", "UTC"),
    ("20 4 * * *-TZ", "UTC"),
    ("20 4 * * *", ""),
    ("20 4 * * *", "Local"),
    ("20 4 * * *", "local"),
    ("20 4 * * *", "Europe/berlin"),
    ("20 4 * * *", "Europe/Berlin "),
    ("20 4 * * *", "/Europe/Berlin"),
    ("20 4 * * *", "Europe/../UTC"),
    ("20 4 * * *", "Mars/Base"),
];

fn cron_job(number: usize, (schedule, zone): (&str, &str)) -> Value {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "backup", "image": "backup"}]});
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": format!("pair-{number}"), "namespace": "schedule"},
        "spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    })
}

/// All pairs as `CronJobs`, created without effect: what kubectl says of those accepted, and of those refused.
fn create_all(server: &ApiServer) -> (String, String) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "schedule"}});
    server.kubectl_stdin(&["apply", "-f", "-"], &namespace.to_string()).unwrap();
    let jobs: Vec<Value> = PAIRS.into_iter().enumerate().map(|(number, pair)| cron_job(number, pair)).collect();
    let mut kubectl = server.kubectl_command().unwrap();
    kubectl.args(["create", "--dry-run=server", "--request-timeout=60s", "-f", "-"]);
    let pipes = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": jobs});
    child.stdin.take().unwrap().write_all(list.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_a_real_kube_apiserver_refuses_is_refused_with_the_same_field() {
    let (accepted, refused) = create_all(&ApiServer::start().unwrap());
    for (number, (schedule, zone)) in PAIRS.into_iter().enumerate() {
        let created = accepted.contains(&format!("cronjob.batch/pair-{number} created"));
        let invalid = refused.lines().find(|line| line.contains(&format!("\"pair-{number}\" is invalid")));
        let theirs = match (created, invalid) {
            (true, None) => None,
            (false, Some(error)) if error.contains("spec.schedule") => Some("InvalidSchedule"),
            (false, Some(error)) if error.contains("spec.timeZone") => Some("InvalidTimeZone"),
            unclear => panic!("{schedule:?} in {zone:?}: {unclear:?}\n{accepted}\n{refused}"),
        };
        let ours = validate(schedule, zone).err().map(|error| error.reason());
        assert_eq!(ours, theirs, "{schedule:?} in {zone:?}: {}", invalid.unwrap_or("accepted"));
    }
}

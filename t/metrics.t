#!/usr/bin/perl

# The metrics: promtool and a real Prometheus read them; documents, alert rules
# and dashboard name what there is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use POSIX ();
use Test::More;

my $conf_d = "$DynamicWeight::root/conf.d";
my $prefix = 'nginx_dynamic_weight_';

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $evil = qq{</script>"\n\\};
$bj->app('prod', 'orders', 20);
$bj->app('prod', 'pay', 7);
$bj->nodes({ name => $evil, address => '127.0.0.11', ready => JSON::PP::true },
    map { { name => "n$_", address => "127.0.0.$_", ready => JSON::PP::true } }
        12, 13);

$t->write_file('tuning.json', '{ "rules": [] }');
$t->start_backends;
$t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_tuning %%DIR%%/tuning.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          drop=50% confirm=200ms;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.1:%%BACKEND%% max_conns=7;
        server         127.0.0.4:%%BACKEND%% backup;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
        ingress_nodes  bj service=prod/pay port=%%BACKEND%%;
    }
    upstream "odd \\"name\\\\" {
        dynamic_weight;
        ingress_nodes  bj service=prod/pay port=%%BACKEND%% slots=2;
    }
EOF
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';
$bj->app('prod', 'orders', 1);    # guarded
$t->start_load(1);
wait_ok {
    $t->status->{upstreams}{orders}{recent} > 100
        && $t->status->{clusters}{bj}{watch}{held_back}
} 'some load, and a guarded drop';
$t->break_backend('127.0.0.11', 'close');
wait_ok {
    grep { $_->{downtime} } @{$t->status->{upstreams}{orders}{peers}}
} 'a peer is taken out';
$t->stop_load;

sub metrics { http_get($t->port, '/dw/metrics')->{body} }

my $answer = http_get($t->port, '/dw/metrics');
like($answer->{headers}, qr{^Content-Type: text/plain; version=0\.0\.4}m,
    'content type');
my $path = $t->write_file('metrics', $answer->{body});
is(`promtool check metrics < $path 2>&1`, '', 'promtool finds no fault');
is($?, 0, 'and says so');

like($answer->{body}, qr{node="</script>\\"\\n\\\\"\} 1$}m,
    'an evil node name is escaped');
like($answer->{body}, qr{upstream="odd \\"name\\\\"}, 'an odd name, too');

# Every sample once, all of a metric together.

my (%samples, %ended, $family, @twice, @apart);
for my $line (split /\n/, $answer->{body}) {
    if ($line =~ /^# HELP (\S+)/) {
        $ended{$family}++ if defined $family;
        $family = $1;
        push @apart, $family if $ended{$family};
        next;
    }
    next if $line =~ /^#/;
    my ($sample, $name) = $line =~ /^((\w+)(?:\{.*\})?) \S+$/ or next;
    push @twice, $sample if $samples{$sample}++;
    push @apart, $sample if $name ne $family;
}
is("@twice", '', 'no sample twice');
is("@apart", '', 'no metric in two places');

# The numbers are those of the status.

my %value = map { /^\Q$prefix\E(.*) (\S+)$/ ? ($1 => $2) : () }
    split /\n/, metrics();
my $status = $t->status;
my @wrong;
for my $upstream (keys %{$status->{upstreams}}) {
    for my $peer (@{$status->{upstreams}{$upstream}{peers}}) {
        my $name = $upstream =~ s/(["\\])/\\$1/gr;
        my $labels = qq{\{upstream="$name",cluster="}
            . ($peer->{cluster} // '-')
            . qq{",server="$peer->{server}",id="$peer->{id}"};
        my %is = (
            weight => $peer->{weight},
            requests_total => $peer->{requests},
            fails_total => $peer->{fails},
            unavail_total => $peer->{unavail},
            sent_bytes_total => $peer->{sent},
            received_bytes_total => $peer->{received},
        );
        for my $metric (keys %is) {
            my $found = $value{"upstream_server_$metric$labels}"};
            $found //= 0 if $metric eq 'unavail_total';    # sparse
            push @wrong, "$metric$labels"
                unless defined $found && $found == $is{$metric};
        }
        for my $code (grep { $_ ne 'total' } keys %{$peer->{responses}}) {
            my $found = $value{
                qq{upstream_server_responses_total$labels,code="$code"\}}} // 0;
            push @wrong, "$code$labels"
                unless $found == $peer->{responses}{$code};
        }
    }
}
is("@wrong", '', 'the same numbers as in the status');
is($value{'cluster_up{cluster="bj"}'}, 1, 'the cluster is up');
is($value{'ready'}, 1, 'ready');
cmp_ok($value{'cluster_rejected_updates_total{cluster="bj",reason="guard"}'},
    '>', 0, 'a guarded update');

# What is documented, alerted on and drawn is what there is.

my %there = map { /^# HELP \Q$prefix\E(\S+)/ ? ($1 => 1) : () }
    split /\n/, $answer->{body};

sub slurp {
    my ($file) = @_;
    open my $f, '<', $file or die "$file: $!\n";
    return do { local $/; scalar <$f> };
}
my %documented = map { $_ => 1 }
    slurp("$DynamicWeight::root/docs/metrics.md") =~ /^\| `(\w+)` \|/gm;
is_deeply(\%documented, \%there, "docs/metrics.md has every metric");

for my $file ('alerts.yml', 'dashboard.json') {
    my @used = slurp("$conf_d/$file") =~ /\b\Q$prefix\E(\w+)/g;
    cmp_ok(scalar @used, '>', 5, "$file uses metrics");
    is(join(' ', grep { !$there{$_} } @used), '', "$file: they are there");
}
my $dashboard = decode_json(slurp("$conf_d/dashboard.json"));
my @exprs = map { map { $_->{expr} } @{$_->{targets}} } @{$dashboard->{panels}};
my @rules = map { "  - record: panel:expr$_\n    expr: "
    . encode_json([$exprs[$_] =~ s/\$__rate_interval/1m/gr]) =~ s/^\[|\]$//gr }
    0 .. $#exprs;
my $rules = $t->write_file('panels.yml',
    "groups:\n- name: panels\n  rules:\n" . join("\n", @rules) . "\n");
like(`promtool check rules $rules 2>&1`, qr/SUCCESS/,
    'every expression of the dashboard is PromQL');
like(`promtool check rules $conf_d/alerts.yml 2>&1`, qr/SUCCESS: \d+ rules/,
    'the alert rules are right');
my $tested = `promtool test rules $conf_d/alerts_test.yml 2>&1`;
is($?, 0, 'the tests of the alert rules pass') or diag($tested);
my @alerts = slurp("$conf_d/alerts.yml") =~ /^  - alert: (\w+)/mg;
my $tests = slurp("$conf_d/alerts_test.yml");
is(join(' ', grep { $tests !~ /alertname: $_\n    exp_alerts/ } @alerts), '',
    'each alert fires in a test');

# Without peers, or with those alone that are not up.

sub families {
    my ($query) = @_;
    my $body = http_get($t->port, "/dw/metrics$query")->{body};
    return { map { $_ => 1 } $body =~ /^$prefix(\w+)/mg };
}
my $whole = families('?peers=all');
my $without = families('?peers=no');
ok($whole->{upstream_server_weight}, 'all peers');
is(join(' ', grep { /^upstream_server_/ } keys %$without), '',
    'peers=no: not one');
ok($without->{upstream_cluster_pods} && $without->{cluster_up},
    'but clusters and lines');
my @down = http_get($t->port, '/dw/metrics?peers=down')->{body}
    =~ /^${prefix}upstream_server_state\S* (\d)/mg;
is(join(' ', grep { $_ == 1 } @down), '', 'peers=down: none that is up');
is(http_get($t->port, "/dw/metrics?$_")->{status}, 400, "$_ is refused")
    for 'peers=some', 'peer=no', 'upstream=orders&peers=no&x';

# A real Prometheus.

my $port = free_port;
$t->write_file('prometheus.yml', $t->expand(<<"EOF"));
global: { scrape_interval: 200ms, evaluation_interval: 200ms }
rule_files: [ $conf_d/alerts.yml ]
scrape_configs:
- job_name: edge
  metrics_path: /dw/metrics
  static_configs: [ { targets: [ "127.0.0.1:%%PORT%%" ] } ]
EOF
my $pid = fork // die "fork: $!\n";
if ($pid == 0) {
    open STDOUT, '>', "$t->{dir}/prometheus.log";
    open STDERR, '>&', \*STDOUT;
    exec('prometheus', "--config.file=$t->{dir}/prometheus.yml",
        "--storage.tsdb.path=$t->{dir}/tsdb",
        "--web.listen-address=127.0.0.1:$port") or POSIX::_exit(127);
}

# The value of a query, or nothing; label text as Prometheus took it.
sub query {
    my ($expr) = @_;
    $expr =~ s/([^\w.])/sprintf '%%%02X', ord $1/ge;
    my $answer = http_get($port, "/api/v1/query?query=$expr") or return;
    return decode_json($answer->{body})->{data}{result}[0];
}
wait_ok { query('up{job="edge"} == 1') } 'Prometheus scrapes', 60;
my $requests = query("sum(${prefix}upstream_server_requests_total)");
my $sum = 0;
$sum += $_->{requests} for map { @{$_->{peers}} } values %{$status->{upstreams}};
is($requests->{value}[1], $sum, 'it has the requests');
is(query("${prefix}upstream_server_info{server=~\"127.0.0.11:.*\",id=\"2\"}")
    ->{metric}{node}, $evil, 'and the evil name as it is');
wait_ok {
    my $found = query("${prefix}upstream_cluster_weight{upstream=\"orders\","
        . 'source="service=prod/orders"}');
    $found && $found->{value}[1] == 3
} 'a weight';
$bj->app('prod', 'orders', 9);
wait_ok {
    query("${prefix}upstream_cluster_weight{upstream=\"orders\","
        . 'source="service=prod/orders"}')->{value}[1] == 30
} 'and its change';
kill 'KILL', $pid;
waitpid $pid, 0;

# Without anything to tell.

$t->stop;
$t->conf(http => 'server { listen 127.0.0.1:%%PORT%%; '
    . 'location /dw/ { dynamic_weight_status; } }');
ok($t->start, 'nginx without an upstream starts');
$path = $t->write_file('metrics', metrics());
is(`promtool check metrics < $path 2>&1`, '', 'promtool finds no fault there');

$t->done;

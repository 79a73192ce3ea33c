#!/usr/bin/perl

# Three edges, a Prometheus that scrapes them and writes to VictoriaMetrics, as
# one of a pair does: the dashboard's queries and the alert rules get the same
# answer there (as MetricsQL) as from Prometheus (as PromQL).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use JSON::XS;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $conf_d = "$DynamicWeight::root/conf.d";
my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 20);
$bj->nodes(map "127.0.0.$_", 11 .. 13);
$t->start_backends;
my @edges = ($t, map { DynamicWeight->new(backend => $t->{backend},
    names => $t->{names}) } 2, 3);
for my $edge (@edges) {
    $edge->conf(http => <<"EOF_CONF" . $edge->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          drop=50% confirm=200ms;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
    }
EOF_CONF
    ok($edge->start, 'an edge starts');
    $edge->start_load(1, pause => 0.05);
}

# ---- The two databases.

my %port = map { $_ => free_port } 'prometheus', 'victoria';
my %pid;
sub run {
    my ($name, @command) = @_;
    $pid{$name} = fork // die "fork: $!\n";
    return if $pid{$name};
    open STDOUT, '>', "$t->{dir}/$name.log";
    open STDERR, '>&', \*STDOUT;
    exec('setpriv', '--pdeathsig', 'KILL', @command) or POSIX::_exit(127);
}

run('victoria', 'victoria-metrics',
    "-storageDataPath=$t->{dir}/victoria",
    "-httpListenAddr=127.0.0.1:$port{victoria}", '-retentionPeriod=1d',
    '-search.latencyOffset=1ms', '-search.disableCache');
my $targets = join ', ', map { '"127.0.0.1:' . $_->port . '"' } @edges;
$t->write_file('prometheus.yml', <<"EOF_CONF");
global:
  scrape_interval: 1s
  external_labels:
    cluster: edges-bj
    environment: production
    zone: bj-1
    prometheus_replica: a
scrape_configs:
- job_name: edge
  metrics_path: /dw/metrics
  static_configs: [ { targets: [ $targets ] } ]
remote_write:
- url: http://127.0.0.1:$port{victoria}/api/v1/write
  queue_config: { batch_send_deadline: 1s }
  write_relabel_configs:
  - { action: labeldrop, regex: prometheus_replica }
EOF_CONF
run('prometheus', 'prometheus', "--config.file=$t->{dir}/prometheus.yml",
    "--storage.tsdb.path=$t->{dir}/tsdb",
    "--web.listen-address=127.0.0.1:$port{prometheus}");

# What one of them answers: { labels as text => value }, or its error. Labels
# are those that the edge gave, and by whom.
my %external = map { $_ => 1 } qw(environment zone);
my $json = JSON::XS->new->canonical;
sub query {
    my ($name, $expr, $at) = @_;
    my $uri = '/api/v1/query?query='
        . ($expr =~ s/([^\w.])/sprintf '%%%02X', ord $1/ger)
        . (defined $at ? "&time=$at" : '');
    my $answer = http_get($port{$name}, $uri) or return 'no answer';
    my $said = $json->decode($answer->{body});
    return $said->{error} if $said->{status} ne 'success';
    my %found;
    for my $one (@{$said->{data}{result}}) {
        my %labels = map { $external{$_} ? () : ($_ => $one->{metric}{$_}) }
            keys %{$one->{metric}};
        delete $labels{cluster} if $labels{cluster} && $labels{cluster}
            eq 'edges-bj';
        $found{$json->encode(\%labels)} = $one->{value}[1];
    }
    return \%found;
}
for my $name ('prometheus', 'victoria') {
    wait_ok {
        my $found = query($name, 'count(nginx_dynamic_weight_ready) == 3');
        ref $found && %$found
    } "$name has the three edges", 90;
}

# ---- Labels on their way.

my $answer = $json->decode(http_get($port{victoria},
    '/api/v1/query?query=nginx_dynamic_weight_cluster_up')->{body});
is(scalar @{$answer->{data}{result}}, 3, 'a series of each edge');
for my $one (@{$answer->{data}{result}}) {
    is_deeply([@{$one->{metric}}{qw(cluster environment zone
        prometheus_replica)}], ['bj', 'production', 'bj-1', undef],
        'external labels come on top, the metric\'s own cluster stays, and the'
        . ' replica is dropped');
}

# ---- Something to see: weights change, an edge is stale, a peer fails.

$bj->app('prod', 'orders', 27);
wait_ok { $_->weights('orders')->{'127.0.0.11'} == 90 } 'weights' for @edges;
$t->break_backend('127.0.0.12', 'close');
wait_ok { grep { $_->{downtime} } @{$t->status->{upstreams}{orders}{peers}} }
    'a peer is taken out';
$bj->stop;
wait_ok { !$_->status->{clusters}{bj}{up} } 'the API is gone' for @edges;
# For as long as the queries look back.
for my $name ('prometheus', 'victoria') {
    wait_ok {
        my $found = query($name, 'count(max_over_time('
            . 'nginx_dynamic_weight_cluster_up[12s]) == 0) == 3');
        ref $found && %$found
    } "$name knows", 60;
}
# Long enough ago to be in both.
my $at = int(time - 4);

# ---- Every query of the dashboard.

sub slurp {
    my ($file) = @_;
    open my $f, '<', "$conf_d/$file" or die "$file: $!\n";
    return do { local $/; scalar <$f> };
}
my @panels = @{$json->decode(slurp('dashboard.json'))->{panels}};
my @queries = map { map { $_->{expr} } @{$_->{targets} // []} } @panels;
my @alerts = slurp('alerts.yml') =~ /^    expr: (.*)$/mg;
cmp_ok(scalar @queries, '>', 10, 'queries');
cmp_ok(scalar @alerts, '>', 5, 'alert rules');
# Of a rule that does not fire all that it would compare.
my @compared = map { s/ (?:>|>=|==) [\d.]+(?= |$)//gr } @alerts;

# MetricsQL's rate() and increase() take the sample before the window, too, and do
# not extrapolate: near, not equal.
sub only_near { $_[0] =~ /\b(?:rate|increase|changes)\(/ }

# What of one's answer is another one's, as text.
sub differences {
    my ($expr, $prometheus, $victoria) = @_;
    my @series = map { join "\n", sort keys %$_ } $victoria, $prometheus;
    my @other = only_near($expr) ? () : grep {
        ($victoria->{$_} // '') ne $prometheus->{$_} } keys %$prometheus;
    return (@series, join "\n", map {
        "$_: $victoria->{$_}, not $prometheus->{$_}" } @other);
}

my $some = 0;
for my $expr (@queries, @alerts, @compared) {
    $expr =~ s/\$(?:instance|upstream)\b/.+/g;
    $expr =~ s/\$__rate_interval/8s/g;
    my ($prometheus, $victoria, @differ);
    # What was written to it may be under way on a busy machine.
    wait_for {
        ($prometheus, $victoria) = map { query($_, $expr, $at) }
            'prometheus', 'victoria';
        return 1 if !ref $prometheus || !ref $victoria;
        @differ = differences($expr, $prometheus, $victoria);
        $differ[0] eq $differ[1] && $differ[2] eq ''
    } 'both to have it', 30;
    if (!ref $prometheus || !ref $victoria) {
        fail("$expr: "
            . join ', ', map { ref ? 'answered' : $_ } $prometheus, $victoria);
        next;
    }
    $some++ if %$prometheus;
    is($differ[0], $differ[1], "the same series: $expr");
    is($differ[2], '', 'and the same values') unless only_near($expr);
}
cmp_ok($some, '>', @queries / 2, "$some of them have a result");

# Its own program for alert rules takes them as they are.
my $said = `vmalert -dryRun -rule=$conf_d/alerts.yml 2>&1`;
is($?, 0, 'vmalert reads the rules') or diag($said);

kill 'KILL', values %pid;
waitpid $_, 0 for values %pid;
$_->stop_load for @edges;
ok($_->stop, 'nginx ends') for @edges[1, 2];
$t->done;

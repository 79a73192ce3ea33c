#!/usr/bin/perl

# Probes in the configuration: what is taken, and what each mistake is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;

my $said = `openssl req -x509 -newkey ec -days 30 -nodes -subj /CN=ca \\
    -pkeyopt ec_paramgen_curve:prime256v1 -keyout $t->{dir}/ca.key \\
    -out $t->{dir}/ca.crt 2>&1`;
die "openssl: $said" if $?;
$t->write_file('text.crt', "no certificate\n");

my $line = 'ingress_nodes bj service=prod/orders port=80;';

# A cluster with a probe, and an upstream.
sub probe {
    my ($probe, %more) = @_;
    return 'dynamic_weight_zone main:1m; dynamic_weight_cluster bj { '
        . 'api http://127.0.0.1:1; '
        . ($more{nodes} // 'ingress_nodes addresses=127.0.0.1;')
        . " probe $probe; } upstream u { dynamic_weight; server 127.0.0.1; "
        . ($more{lines} // $line) . " }\n";
}

# What is right, and what is told of it.

my %good = (
    (map { ("by $_" => [probe($_), qr/at most 10 probes a second, of 16 /]) }
        'tcp', 'tls', 'http', 'https'),
    'every parameter' => [probe('https port=10254 uri=/healthz?a=1 '
        . 'host=orders.example status=401,200-299 "body=is ok" '
        . 'ca_file=%%DIR%%/ca.crt interval=500ms timeout=100ms fails=1 '
        . 'passes=10 mandatory'),
        qr{at most 40 .* 16 .*\(https :10254/healthz\?a=1\) each 500 ms}],
    'a file beside nginx.conf' => [probe('tls ca_file=ca.crt'), qr/at most/],
    'ports of several lines' => [probe('tcp interval=1s', lines => "$line "
        . 'ingress_nodes bj service=prod/users port=80 slots=4; '
        . 'ingress_nodes bj service=prod/users port=81 slots=4;'),
        qr/at most 25 probes a second, of 20 /],
    'one port of several lines' => [probe('tcp port=9 interval=1s',
        lines => "$line ingress_nodes bj service=prod/users port=81 slots=4;"),
        qr/at most 20 probes a second, of 16 /],
    'beside instances' => [probe('tcp', lines => "$line "
        . 'instances bj service=prod/users slots=500;'),
        qr/at most 10 probes a second, of 16 /],
);

for my $name (sort keys %good) {
    $t->conf(http => $good{$name}[0]);
    my ($status, $told) = $t->test_conf;
    is($status, 0, "taken: $name") or diag($told);
    like($told, qr/\[notice\] .*cluster "bj": .*$good{$name}[1]/,
        "... and told: $name");
}

# What is wrong: a part of the message, which names the mend.

my @wrong = (
    ['no type', 'port=80', qr/write what is probed first: "http", "https"/],
    ['another type', 'icmp', qr/invalid "icmp": write what is probed first/],
    ['twice', 'tcp; probe tcp', qr/"probe" of cluster "bj" is duplicate/],
    ['nothing', '', qr/number of arguments in "probe"/],
    ['unknown parameter', 'tcp prot=80', qr/invalid "prot=80": write port=, uri=/],
    ['parameter twice', 'tcp port=1 port=2', qr/"port=2": it is duplicate/],
    ['port too large', 'tcp port=65536', qr/write a port, 1 to 65535/],
    ['port by name', 'tcp port=https', qr/write a port, 1 to 65535/],
    ['uri of TCP', 'tcp uri=/', qr/no effect on a probe of type tcp: remove it/],
    ['host of TCP', 'tcp host=a', qr/no effect on a probe of type tcp/],
    ['status of TLS', 'tls status=200', qr/type tls: .*write "http" or "https"/],
    ['ca_file of HTTP', 'http ca_file=x', qr/type http: .*write "https" or "tls"/],
    ['uri without a slash', 'http uri=healthz', qr{such as "uri=/healthz"}],
    ['host with a port', 'http host=a:80', qr/write a host name without port/],
    ['status of no number', 'http status=2xx', qr/such as "status=200-399,401"/],
    ['status out of range', 'http status=20-1000', qr/from 100 to 999/],
    ['statuses the wrong way round', 'http status=399-200',
        qr/write "200-399" for "399-200"/],
    ['statuses that overlap', 'http status=200-399,301',
        qr/301 stands in it twice: write ranges that do not overlap/],
    ['empty body', 'http body=', qr/write a part of the body/],
    ['interval too short', 'tcp interval=10ms', qr/from 100ms to 1h/],
    ['timeout of nothing', 'tcp timeout=0', qr/from 100ms to 1h/],
    ['timeout longer than interval', 'tcp interval=1s timeout=2s',
        qr/timeout= is longer than interval=/],
    ['no failures', 'tcp fails=0', qr/invalid "fails=0": .*1 to 100/],
    ['too many passes', 'tcp passes=1000', qr/invalid "passes=1000"/],
    ['ca_file missing', 'tls ca_file=nothing', qr/nothing/],
    ['ca_file of text', 'tls ca_file=text.crt', qr/text\.crt.*PEM/],
    ['ca_file a key', 'tls ca_file=ca.key', qr/ca\.key" holds no certificate/],
);

for my $case (@wrong) {
    my ($name, $probe, $message) = @$case;
    $t->conf(http => probe($probe));
    my ($status, $told) = $t->test_conf;
    isnt($status, 0, "refused: $name");
    like($told, $message, "... and told: $name");
    like($told, qr/nginx\.conf:\d+/, '... with its place');
}

# Where there is nothing to probe.

for my $case (
    ['no upstream has the nodes', lines => ''],
    ['instances alone', lines => 'instances bj service=prod/orders;'],
    ['a cluster without nodes', nodes => '',
        lines => 'instances bj service=prod/orders;'],
    ['a registry', nodes => 'type nacos;', lines => 'instances bj service=a;'],
) {
    my ($name, %more) = @$case;
    $t->conf(http => probe('tcp', %more));
    my ($status, $told) = $t->test_conf;
    isnt($status, 0, "refused: $name");
    like($told, qr/"probe" of cluster "bj" has nothing to probe.*conf:\d+/,
        "... and told: $name");
}

$t->cleanup;
done_testing();

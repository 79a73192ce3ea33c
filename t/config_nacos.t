#!/usr/bin/perl

# The configuration of registries: what is taken, and what each mistake is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
$t->write_file('password', "a secret\n");
$t->write_file('two-lines', "secret\nsecret\n");
$t->write_file('token', "secret\n");
$t->write_file('key-secret', "s3cret+/=\n");
$t->write_file('no-secret', '');
$t->write_file('blank-secret', "\n");
$t->write_file('two-words', "LTAI secret\n");
chmod 0644, map "$t->{dir}/$_", qw(password two-lines token key-secret no-secret
    blank-secret two-words);

my $zone = 'dynamic_weight_zone main:1m;';
my $api = 'api http://127.0.0.1:1/nacos;';

sub upstream { "upstream u { dynamic_weight; server 127.0.0.1; @_ }\n" }
sub registry { "$zone dynamic_weight_cluster vm { @_ }" . upstream() }
sub line {
    return "$zone dynamic_weight_cluster vm { type nacos; $api }"
        . upstream("instances @_;");
}

my %good = (
    'a registry' => registry('type nacos;', $api),
    'its type may come last' => registry($api, 'namespace prod; type nacos;'),
    'every directive of a registry' => registry('type nacos;', $api,
        'api https://127.0.0.1:2/nacos; namespace 7b5f0d34-5f3a-4b6d;',
        'user "an edge"; password_file %%DIR%%/password; mode poll;',
        'interval 1s; timeout 2s; guard drop=30% confirm=2s; tls_verify off;'),
    'an access key' => registry('type nacos;', $api,
        'access_key LTAI5tExample; secret_file %%DIR%%/key-secret;'),
    'the other type' => registry('type kubernetes; api http://127.0.0.1:1;',
        'ingress_nodes addresses=127.0.0.1;'),
    'a service' => line('vm service=orders'),
    'every parameter of a line' => line('vm service=orders group=prod',
        'clusters=bj,sh slots=4 backup max_fails=3 fail_timeout=2s',
        'max_conns=5'),
    'a group before the name' => line('vm service=prod@@orders'),
    'names of any kind' => line('vm "service=a b#c" "group=\xc3\xa9%"'),
);

for my $name (sort keys %good) {
    $t->conf(http => $good{$name});
    my ($status, $said) = $t->test_conf;
    is($status, 0, "taken: $name") or diag($said);
}

my @wrong = (
    ['unknown type', registry('type consul;', $api),
        qr/write "kubernetes" or "nacos"/],
    ['no API', registry('type nacos;'),
        qr{write "api http://HOST:8848/nacos;"}],
    ['bad namespace', registry('type nacos; namespace "a b";', $api),
        qr/namespace's id, which is not its name/],
    ['user without password', registry('type nacos; user edge;', $api),
        qr/needs both "user" and "password_file"/],
    ['password without user',
        registry('type nacos; password_file %%DIR%%/password;', $api),
        qr/needs both "user" and "password_file"/],
    ['password file missing',
        registry('type nacos; user edge; password_file /no;', $api),
        qr{"/no" of cluster "vm" can't be read}],
    ['password of two lines', registry('type nacos; user edge;',
        'password_file %%DIR%%/two-lines;', $api), qr/more than one line/],
    ['an access key without secret', registry('type nacos; access_key LTAI;',
        $api), qr/needs both "access_key" and "secret_file"/],
    ['a secret without access key',
        registry('type nacos; secret_file %%DIR%%/key-secret;', $api),
        qr/needs both "access_key" and "secret_file"/],
    ['a user and an access key', registry('type nacos; user edge;',
        'password_file %%DIR%%/password; access_key LTAI;',
        'secret_file %%DIR%%/key-secret;', $api),
        qr/has both "user" and "access_key": remove one of the two/],
    ['an access key of two words', registry('type nacos;',
        'access_key "LTAI x"; secret_file %%DIR%%/key-secret;', $api),
        qr/write the key's name, one word .*goes to secret_file/],
    ['an empty access key', registry('type nacos; access_key "";',
        'secret_file %%DIR%%/key-secret;', $api),
        qr/write the key's name, one word/],
    ['an access key twice', registry('type nacos; access_key a;',
        'access_key b; secret_file %%DIR%%/key-secret;', $api),
        qr/"access_key" of cluster "vm" is duplicate/],
    ['secret file missing', registry('type nacos; access_key LTAI;',
        'secret_file /no;', $api), qr{"/no" of cluster "vm" can't be read}],
    ['secret file empty', registry('type nacos; access_key LTAI;',
        'secret_file %%DIR%%/no-secret;', $api), qr/no-secret": is empty/],
    ['no word of a secret', registry('type nacos; access_key LTAI;',
        'secret_file %%DIR%%/blank-secret;', $api),
        qr/blank-secret": holds no secret/],
    ['secret of two lines', registry('type nacos; access_key LTAI;',
        'secret_file %%DIR%%/two-lines;', $api),
        qr/more than one line: write the secret alone/],
    ['secret of two words', registry('type nacos; access_key LTAI;',
        'secret_file %%DIR%%/two-words;', $api),
        qr/two-words": a secret is one word of ASCII/],
    ['an access key in Kubernetes', registry('access_key LTAI;',
        'ingress_nodes addresses=127.0.0.1;', $api),
        qr/"access_key" and "secret_file" are of a registry/],
    ['a secret in Kubernetes', registry('secret_file %%DIR%%/key-secret;',
        'ingress_nodes addresses=127.0.0.1;', $api), qr/write "type nacos;"/],
    ['a token', registry('type nacos; token_file %%DIR%%/token;', $api),
        qr/write "api", and "user" and "password_file"/],
    ['ingress nodes in a registry',
        registry('type nacos; ingress_nodes addresses=127.0.0.1;', $api),
        qr/"instances" name its services/],
    ['a namespace in Kubernetes',
        registry('namespace prod; ingress_nodes addresses=127.0.0.1;', $api),
        qr/write "type nacos;"/],
    ['a user in Kubernetes',
        registry('user edge; ingress_nodes addresses=127.0.0.1;', $api),
        qr/write "type nacos;"/],
    ['ingress nodes of a registry', "$zone dynamic_weight_cluster vm { "
        . "type nacos; $api }"
        . upstream('ingress_nodes vm service=prod/orders port=80;'),
        qr/is a registry, .*write "instances vm service=NAME;"/],
    ['no service', line('vm group=prod'), qr/write service=NAME/],
    ['a service twice', line('vm service=a service=b'),
        qr/write service= once/],
    ['two groups', line('vm service=a@@b group=c'), qr/another group/],
    ['an empty cluster', line('vm service=a clusters=b,,c'),
        qr/no name of a cluster/],
    ['a port of a registry', line('vm service=a port=80'),
        qr/"port=80": leave it out: the registry names the port/],
);

for my $case (@wrong) {
    my ($name, $http, $message) = @$case;
    $t->conf(http => $http);
    my ($status, $said) = $t->test_conf;
    isnt($status, 0, "refused: $name");
    like($said, $message, "told: $name");
    like($said, qr/\.conf:\d+/, "place: $name");
    unlike($said, qr/^(?:LTAI )?secret$|s3cret|LTAI secret/m, "no secret: $name");
}

# A password that anybody on the way can read is told of.

$t->conf(http => registry('type nacos; user edge;',
    'password_file %%DIR%%/password;', $api));
my ($status, $said) = $t->test_conf;
is($status, 0, 'taken: a login without TLS');
like($said, qr/\[warn\].*sends its password unencrypted/, '... with a warning');

# A secret is not sent, and none can be read on the way.

$t->conf(http => $good{'an access key'});
($status, $said) = $t->test_conf;
unlike($said, qr/\[warn\].*unencrypted/, 'no such warning of an access key');

done_testing;

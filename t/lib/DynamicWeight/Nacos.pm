package DynamicWeight::Nacos;

# A real server of Nacos (t/nacos), standing alone, with a database of its own:
#
#   my $vm = DynamicWeight::Nacos->new($t, 'VM', version => '3.1');
#   $vm->await;                       # %%VM%% is its URL
#   $vm->register('orders', '127.0.0.11', 8080, weight => 2);
#
# Options: `auth`: who asks must have logged in; `user` and `password` are then
# those of the one user there is. `old_api` 0: without v1 and v2. Starting takes
# tens of seconds: several can start at a time. Those of one registry:
#
#   my @servers = DynamicWeight::Nacos->registry($t, [qw(A B C)],
#       version => '2.3');

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use JSON::XS;
use POSIX ();

use DynamicWeight;

my $root = abs_path(dirname(__FILE__) . '/../../..');

sub new {
    my ($class, $t, $name, %opt) = @_;
    chomp(my $server = `$root/t/nacos/build $opt{version}`);
    die "t/nacos/build $opt{version} failed\n" if $?;
    my $self = bless {
        t => $t, name => $name, server => $server, owner => $$,
        dir  => "$t->{dir}/nacos-$name",
        old_api => 1,
        user => 'nacos', password => 'a pass&word',
        %opt,
    }, $class;
    $self->{port} //= free_ports();
    $t->{names}{$name} = $self->url;
    push @{$t->{clusters}}, $self;
    $self->start;
    return $self;
}

# The servers of one registry, which share what they are told.
sub registry {
    my ($class, $t, $names, %opt) = @_;
    my @ports = map free_ports(), @$names;
    my $members = join ',', map "127.0.0.1:$_", @ports;
    return map { $class->new($t, $_, %opt, members => $members,
        port => shift @ports) } @$names;
}

# It listens on its port, on 1000 more and less, and on the one behind them.
sub free_ports {
    while (1) {
        my $port = DynamicWeight::free_port();
        next if $port > 31_000 || $port < 11_300;
        next if grep { !DynamicWeight::Functions::hold_port($port + $_) }
            1000, 1001, -1000;
        return $port;
    }
}

sub url { "http://127.0.0.1:$_[0]{port}/nacos" }
sub port { $_[0]{port} }
sub log { $_[0]{t}->read_file("nacos-$_[0]{name}/server.log") }

sub start {
    my ($self) = @_;
    mkdir $self->{dir};
    my $auth = $self->{auth} ? 'true' : 'false';
    my $old_api = $self->{old_api} ? 'true' : 'false';
    # A registry's servers keep in the database what one alone keeps there, too.
    my @kind = $self->{members}
        ? ('-Dnacos.standalone=false', '-DembeddedStorage=true',
            "-Dnacos.member.list=$self->{members}")
        : '-Dnacos.standalone=true';
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        chdir $self->{dir} or POSIX::_exit(126);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/server.log";
        open STDERR, '>&', \*STDOUT;
        my $lib = "$self->{server}/lib";
        # Ends with the test, even if that is killed.
        exec('setpriv', '--pdeathsig', 'KILL', 'java', '-Xmx512m',
            '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1',
            @kind, "-Dnacos.home=$self->{dir}",
            "-Dnacos.server.main.port=$self->{port}",
            "-Dserver.port=$self->{port}", '-Dnacos.deployment.type=server',
            '-Dserver.servlet.contextPath=/nacos',
            '-Dspring.main.allow-bean-definition-overriding=true',
            '-Dnacos.server.ip=127.0.0.1', '-Dserver.address=127.0.0.1',
            "-Dnacos.core.auth.enabled=$auth",
            (map { "-Dnacos.core.api.compatibility.$_.enabled=$old_api" }
                qw(client admin)),
            # Two versions of one class are among its libraries.
            '-cp', "$lib/hessian-4.0.63.jar:$self->{server}/classes:$lib/*",
            'Server') or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    return $self;
}

# Until it serves.
sub await {
    my ($self) = @_;
    my $up = wait_for {
        my $answer = $self->ask('GET', $self->list_path,
            serviceName => 'none');
        $answer && $answer->{status} =~ /^(?:200|403)$/
    } "Nacos $self->{version} to serve", 180;
    die "Nacos does not serve:\n" . substr($self->log, -2000) . "\n" unless $up;
    if ($self->{auth}) {
        my $answer = $self->ask('POST', '/v3/auth/user/admin',
            password => $self->{password});
        die "no user: $answer->{body}\n" unless $answer->{status} == 200;
        # The server learns of a user, and of what one may do, after a while.
        wait_for { $self->login && $self->ask('GET', $self->list_path,
            serviceName => 'none')->{status} == 200 } 'a user', 60;
    }
    return $self;
}

sub login {
    my ($self) = @_;
    my $answer = $self->ask('POST',
        $self->{old_api} ? '/v1/auth/login' : '/v3/auth/user/login',
        username => $self->{user}, password => $self->{password});
    return unless $answer->{status} == 200;
    return $self->{token} = decode_json($answer->{body})->{accessToken};
}

sub stop {
    my ($self, $signal) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    kill $signal // 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
    return;
}

# It neither answers nor closes anything until it is let go on.
sub freeze { return kill 'STOP', $_[0]{pid} }
sub thaw   { return kill 'CONT', $_[0]{pid} }

# Restarts it as one that has forgotten everything.
sub restart_empty {
    my ($self) = @_;
    $self->stop;
    remove_tree("$self->{dir}/data");
    return $self->start;
}

# ---- Its API.

sub path { $_[0]{old_api} ? '/v1/ns/instance' : '/v3/client/ns/instance' }
sub list_path { $_[0]->path . '/list' }

sub escape {
    my ($text) = @_;
    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

sub ask {
    my ($self, $method, $path, @parameters) = @_;
    my @pairs;
    while (my ($name, $value) = splice @parameters, 0, 2) {
        push @pairs, "$name=" . escape($value);
    }
    my $headers = $self->{token} && $path !~ m{/auth/}
        ? "Authorization: Bearer $self->{token}\r\n" : '';
    # A DELETE's form is not read.
    return http_get($self->{port}, "/nacos$path?" . join('&', @pairs),
        method => $method, headers => $headers) if $method =~ /GET|DELETE/;
    return http_get($self->{port}, "/nacos$path", method => $method,
        body => join('&', @pairs), headers => $headers
            . "Content-Type: application/x-www-form-urlencoded\r\n");
}

sub write {
    my ($self, $method, $path, @parameters) = @_;
    my $answer = $self->ask($method, $path, @parameters);
    my $said = $answer ? "$answer->{status} $answer->{body}" : 'nothing';
    die "$method $path: $said\n" unless $said =~ /^200 /;
    return;
}

# Instances stay until they are taken away, and the server connects to them to
# see whether they are healthy. Options are parameters of the API.
sub register {
    my ($self, $service, $ip, $port, %opt) = @_;
    return $self->write('POST', $self->path, serviceName => $service,
        ip => $ip, port => $port, ephemeral => 'false', %opt);
}
sub change {    # of the old API
    my ($self, $service, $ip, $port, %opt) = @_;
    return $self->write('PUT', '/v1/ns/instance', serviceName => $service,
        ip => $ip, port => $port, ephemeral => 'false', %opt);
}
sub deregister {
    my ($self, $service, $ip, $port, %opt) = @_;
    return $self->write('DELETE', $self->path, serviceName => $service,
        ip => $ip, port => $port, ephemeral => 'false', %opt);
}

# The part of a service's instances below which it calls all of them healthy.
sub protect {
    my ($self, $service, $threshold) = @_;
    return $self->write('PUT',
        $self->{old_api} ? '/v1/ns/service' : '/v3/admin/ns/service',
        serviceName => $service, protectThreshold => $threshold);
}

# What it says itself: address => { healthy, weight }.
sub list {
    my ($self, $service, %opt) = @_;
    my $answer = $self->ask('GET', $self->list_path,
        serviceName => $service, %opt);
    my $list = decode_json($answer->{body});
    return { map { $_->{ip} => $_ } @{$list->{hosts} // $list->{data}} };
}

1;

package DynamicWeight::FakeCluster;

# A fake API server (t/fake_cluster) as a process, and its control calls.

use strict;
use warnings;

use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

sub new {
    my ($class, $t, $name, @options) = @_;
    my $self = bless {
        t => $t, name => $name, owner => $$,
        port => DynamicWeight::free_port(),
        options => [@options],
    }, $class;
    return $self->start;
}

sub name { $_[0]{name} }
sub port { $_[0]{port} }
sub url  { ($_[0]{scheme} // 'http') . "://127.0.0.1:$_[0]{port}" }

sub start {
    my ($self) = @_;
    my $program = $ENV{TEST_FAKE_CLUSTER}
        // "$DynamicWeight::root/build/fake_cluster";
    my $log = "$self->{t}{dir}/$self->{name}.log";
    # A real one that starts again has its content before it serves.
    my @content = values %{$self->{content} // {}};
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        exec($program, '--name', $self->{name}, '--port', $self->{port},
            @content ? '--starting' : (), @{$self->{options}}) or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    &DynamicWeight::wait_for(sub { $self->requests },
        "API server $self->{name}")
        or die "$program does not start: see $log\n";
    $self->call(@$_) for @content;
    $self->heal if @content;
    return $self;
}

sub stop {
    my ($self) = @_;
    return unless $self->{pid} && $$ == $self->{owner};
    kill 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
}

sub call {
    my ($self, $method, $path, $content) = @_;
    my $answer = DynamicWeight::http_get($self->{port}, "/_fake/$path",
        method => $method,
        body => defined $content ? encode_json($content) : '')
        or die "$method $path: no answer from $self->{name}\n";
    die "$method $path: $answer->{status} $answer->{body}"
        if $answer->{status} >= 300;
    return $answer->{body} =~ /^\s*[\[{]/ ? decode_json($answer->{body}) : {};
}

# Content outlives stop() and start(): an API server that is down for a while.
sub put {
    my ($self, $key, @call) = @_;
    $self->{content}{$key} = \@call;
    $self->call(@call) if $self->{pid};
}

# Ready pods of an application (its EndpointSlices), and further options.
sub app {
    my ($self, $ns, $name, $pods, %more) = @_;
    $self->put("app $ns/$name", PUT => 'app',
        { namespace => $ns, name => $name, pods => $pods + 0, %more });
}

# Ingress nodes: Node objects labelled role=ingress with these addresses.
sub nodes {
    my ($self, @addresses) = @_;
    $self->put('nodes', PUT => 'nodes', {
        labels => { role => 'ingress' },
        nodes  => [map { ref $_ ? $_ : {
            name => "node-" . ($_ =~ s/[^0-9a-f]+/-/gr), address => $_,
            ready => JSON::PP::true } } @addresses],
    });
}

sub fault { my ($self, $kind, %more) = @_;
    $self->call(PUT => 'fault', { kind => $kind, %more }) }
sub heal     { $_[0]->call(DELETE => 'fault') }
sub requests { $_[0]->call(GET => 'requests') }

1;
